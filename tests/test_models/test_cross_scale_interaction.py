# SPDX-License-Identifier: Apache-2.0
"""The cross-scale neck: size, layout, independence of the samples."""

import re

import pytest
import torch

from mmcadformer.models import CrossScaleInteractionNeck, TextAwareMultiScaleNeck
from mmcadformer.models.necks.cross_scale_interaction import CrossScaleAttention

CHANNELS = (8, 16, 32, 64)


def make_levels(batch, height, width, channels=CHANNELS):
    return [
        torch.randn(batch, c, max(1, height >> i), max(1, width >> i))
        for i, c in enumerate(channels)
    ]


def test_parameters_at_full_size_match_rmsin():
    neck = CrossScaleInteractionNeck()
    assert sum(p.numel() for p in neck.parameters()) == 9_492_246


@pytest.mark.parametrize('size', [(32, 32), (40, 24), (33, 17), (8, 8)])
def test_any_size_in_same_size_out(size):
    neck = CrossScaleInteractionNeck(CHANNELS, grid_size=4).eval()
    levels = make_levels(2, *size)
    for level, out in zip(levels, neck(levels), strict=True):
        assert out.shape == level.shape


def test_samples_do_not_influence_each_other():
    neck = CrossScaleInteractionNeck(CHANNELS, grid_size=4).eval()
    levels = make_levels(3, 32, 32)
    together = neck(levels)
    alone = neck([level[1:2] for level in levels])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b, rtol=1e-4, atol=1e-5)


def test_attention_follows_its_definition():
    """A float64 loop over heads; BatchNorm at its start divides by sqrt(1 + eps)."""
    torch.manual_seed(0)
    grid, channels = 5, 15
    module = CrossScaleAttention(channels, grid).double().eval()
    x = torch.randn(2, channels, grid, grid, dtype=torch.float64)
    bn = (1 + 1e-5) ** -0.5
    x0 = x * bn

    def conv(module, x):
        return torch.nn.functional.conv2d(
            x, module.weight, module.bias, module.stride, module.padding, 1,
            module.groups,
        )  # fmt: skip

    scales = [
        x0,
        conv(module.subsample2[0], x0) * bn,
        conv(module.subsample3[0], x0) * bn,
    ]
    assert [s.shape[-1] for s in scales] == [5, 3, 2]
    tokens = torch.cat([s.reshape(2, channels, -1) for s in scales], dim=2)
    qkv = torch.einsum('bct,dc->bdt', tokens, module.qkv.weight) * bn
    heads, values = [], []
    for head in range(8):
        q, k, v = qkv[:, head * 128 : (head + 1) * 128].split((32, 32, 64), dim=1)
        weights = (torch.einsum('bct,bcs->bts', q, k) / 32**0.5).softmax(dim=-1)
        heads.append(torch.einsum('bts,bcs->bct', weights, v))
        values.append(v[..., : grid**2])
    attended, value_map = torch.cat(heads, dim=1), torch.cat(values, dim=1)
    value_map = value_map.reshape(2, 512, grid, grid)
    local = conv(module.local[1], value_map * (value_map + 3).clamp(0, 6) / 6)
    mixed = torch.einsum('bct,st->bcs', attended, module.mix_tokens.weight)
    mixed = mixed + module.mix_tokens.bias + local.flatten(2)
    out = torch.einsum('bcs,dc->bds', mixed, module.project.weight)
    out = (out + module.project.bias[:, None]).reshape(x.shape) * bn
    out = conv(module.out[2], out * (out + 3).clamp(0, 6) / 6)
    torch.testing.assert_close(module(x), out)


def test_width_that_does_not_split_is_refused():
    with pytest.raises(ValueError, match='divisible by 15'):
        CrossScaleInteractionNeck(CHANNELS, channels=50)


@pytest.mark.parametrize(
    ('kind', 'linear'),
    [
        (CrossScaleInteractionNeck, r'qkv|mix_tokens|project'),
        (TextAwareMultiScaleNeck, r'feed_forward'),
    ],
)
def test_linear_layers_start_as_in_the_backbone(kind, linear):
    """Truncated normal, 0.02; what the release has as convolutions stays as it was."""
    torch.manual_seed(0)
    neck = kind(CHANNELS)
    before = {name: value.clone() for name, value in neck.state_dict().items()}
    neck.init_weights()
    changed = set()
    for name, module in neck.named_modules():
        if not re.search(linear, name) or not isinstance(module, torch.nn.Linear):
            continue
        assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
        assert module.bias is None or not module.bias.any(), name
        changed |= {f'{name}.{leaf}' for leaf, _ in module.named_parameters()}
    assert len(changed) > 5
    for name, value in neck.state_dict().items():
        assert torch.equal(value, before[name]) != (name in changed), name
