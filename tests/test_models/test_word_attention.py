# SPDX-License-Identifier: Apache-2.0
"""The attention that is shown is the one that the fusions compute with."""

import pytest
import torch
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers the components)


@pytest.fixture
def features():
    torch.manual_seed(0)
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    return torch.randn(2, 12, 8), torch.randn(2, 5, 6), mask


def build(**cfg):
    torch.manual_seed(1)
    return MODELS.build(dict(cfg, visual_channels=8, text_channels=6)).eval()


def test_smgam_computes_with_what_it_shows(features):
    visual, text, mask = features
    # Without the norms and the extra convolution the attention is a plain product.
    fusion = build(type='SMGAM', norm=False)
    to_words, to_pixels = fusion.word_attention(visual, text, mask)
    lgvla, vglva = fusion.lgvla, fusion.vglva
    guided = (to_words @ lgvla.attention.value(text)) * lgvla.visual_proj(visual)
    expected = fusion(visual, (3, 4), text, mask)
    torch.testing.assert_close(lgvla.gate(lgvla.out_proj(guided)), expected.to_decoder)
    words = (to_pixels @ vglva.attention.value(visual)) * vglva.text_proj(text)
    refined = vglva.gate(vglva.out_proj(words)) * mask.unsqueeze(-1)
    torch.testing.assert_close(text + refined, expected.text)


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='SMGAM', num_heads=2),
        dict(type='PWAM'),
        dict(type='RMSINFusion'),
        dict(type='ReleasedSMGAM'),
    ],
)
def test_padding_gets_nothing(cfg, features):
    visual, text, mask = features
    to_words, _ = build(**cfg).word_attention(visual, text, mask)
    assert to_words.shape == (2, 12, 5)
    torch.testing.assert_close(to_words.sum(dim=2), torch.ones(2, 12))
    assert (to_words[1, :, 3:] == 0).all()


def test_fianet_shows_the_whole_expression(features):
    visual, text, mask = features
    parts = torch.stack([text, torch.randn_like(text), torch.randn_like(text)], dim=1)
    masks = torch.stack([mask, torch.zeros_like(mask), torch.zeros_like(mask)], dim=1)
    fusion = build(type='FIAM')
    to_words, to_pixels = fusion.word_attention(visual, parts, masks)
    expected = fusion.align.attention.similarity(visual, text, mask)[:, 0]
    torch.testing.assert_close(to_words, expected)
    assert to_pixels is None
