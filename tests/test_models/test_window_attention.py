# SPDX-License-Identifier: Apache-2.0
"""The fused window attention equals MMSegmentation's own."""

import pytest
import torch
from mmseg.models.backbones import SwinTransformer
from mmseg.models.backbones.swin import ShiftWindowMSA

from mmcadformer.models import CADFormerSwin
from mmcadformer.models.layers import FusedShiftWindowMSA, FusedWindowMSA


@pytest.mark.parametrize('by_sample', [True, False])
@pytest.mark.parametrize('shift', [0, 2])
@pytest.mark.parametrize('size', [(8, 8), (9, 14), (3, 5)])
def test_same_result_as_the_host(shift, size, by_sample, monkeypatch):
    # What CPUs do, and what other devices do.
    monkeypatch.setattr(FusedWindowMSA, '_goes_by_sample', lambda self, x: by_sample)
    args = dict(embed_dims=8, num_heads=2, window_size=4, shift_size=shift)
    host = ShiftWindowMSA(**args).eval()
    torch.nn.init.normal_(host.w_msa.relative_position_bias_table)
    fused = FusedShiftWindowMSA(**args).eval()
    fused.load_state_dict(host.state_dict())
    x = torch.randn(3, size[0] * size[1], 8)
    expected = host(x, size)
    torch.testing.assert_close(fused(x, size), expected, rtol=1e-4, atol=1e-5)
    # The mask of the first call is kept: another size, then the first again.
    fused(torch.randn(1, 256, 8), (16, 16))
    torch.testing.assert_close(fused(x, size), expected, rtol=1e-4, atol=1e-5)


def test_gradients_equal_the_host():
    host = ShiftWindowMSA(8, 2, 4, shift_size=2)
    fused = FusedShiftWindowMSA(8, 2, 4, shift_size=2)
    fused.load_state_dict(host.state_dict())
    x = torch.randn(2, 64, 8)
    for module in (host, fused):
        module(x, (8, 8)).square().sum().backward()
    for (name, p), q in zip(host.named_parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(
            p.grad, q.grad, rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f'{n}: {m}'
        )


def test_backbone_without_fusion_is_the_host_with_its_weights():
    args = dict(
        embed_dims=8, depths=(2, 2), num_heads=(1, 2), strides=(4, 2),
        window_size=4, out_indices=(0, 1), drop_path_rate=0.0,
    )  # fmt: skip
    host = SwinTransformer(**args)
    host.eval()
    for module in host.modules():
        if hasattr(module, 'relative_position_bias_table'):
            torch.nn.init.normal_(module.relative_position_bias_table)
    plain = CADFormerSwin(lgvla=False, vglva=False, text_channels=6, **args).eval()
    plain.load_state_dict(host.state_dict())
    x, text = torch.randn(2, 3, 50, 38), torch.randn(2, 5, 6)
    levels, text_out = plain(x, text, torch.ones(2, 5, dtype=torch.bool))
    assert text_out is text
    for level, expected in zip(levels, host(x), strict=True):
        torch.testing.assert_close(level, expected, rtol=1e-4, atol=1e-4)
