# SPDX-License-Identifier: Apache-2.0
"""Absolute positions for training from scratch."""

import math

import pytest
import torch

from mmcadformer.models import CADFormerSwin
from mmcadformer.models.layers.position import sine_position_embedding

ARGS = dict(
    embed_dims=16, depths=(1, 1), num_heads=(1, 2), strides=(4, 2), out_indices=(0, 1),
    window_size=4, text_channels=12, use_abs_pos_embed=True, pretrain_img_size=32,
)  # fmt: skip


def test_sines_follow_their_definition():
    embedding = sine_position_embedding(3, 5, 8)
    assert embedding.shape == (1, 15, 8)
    for row in range(3):
        for column in range(5):
            expected = []
            for position in (row, column):
                angles = [position, position / 100]
                expected += [math.sin(a) for a in angles]
                expected += [math.cos(a) for a in angles]
            assert embedding[0, row * 5 + column].tolist() == pytest.approx(
                expected, abs=1e-6
            )


def test_channels_that_do_not_split_are_refused():
    with pytest.raises(ValueError, match='channels=6'):
        sine_position_embedding(2, 2, 6)


def test_backbone_from_scratch_starts_with_sines_at_any_size():
    model = CADFormerSwin(**ARGS)
    model.init_weights()
    torch.testing.assert_close(
        model.absolute_pos_embed.detach(), sine_position_embedding(8, 8, 16)
    )
    text, mask = torch.randn(1, 3, 12), torch.ones(1, 3, dtype=torch.bool)
    levels, _ = model.eval()(torch.randn(1, 3, 52, 40), text, mask)
    assert levels[0].shape == (1, 16, 13, 10)


def test_positions_break_the_symmetry_of_a_uniform_image():
    model = CADFormerSwin(**ARGS).eval()
    model.init_weights()
    first = model.forward_first_stage(torch.zeros(1, 3, 32, 32)).visual
    assert (first[0] - first[0, :1]).abs().max() > 0.1
