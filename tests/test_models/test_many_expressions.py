# SPDX-License-Identifier: Apache-2.0
"""Several expressions on one image, encoded once, give what each gives alone."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers the components)

EXPRESSIONS = [
    'the large storage tank on the upper left',
    'a pool',
    'the tennis court',
    'the small white vehicle to the right of the baseball field near the road',
]
TEXT_CHANNELS = 12
FUSIONS = {
    'smgam': dict(type='SMGAM'),
    'no_lgvla': dict(type='SMGAM', lgvla=False),
    'no_vglva': dict(type='SMGAM', vglva=False),
    'plain': dict(type='SMGAM', lgvla=False, vglva=False),
    'released': dict(type='ReleasedSMGAM'),
    'lavt': dict(type='PWAM'),
    'rmsin': dict(type='RMSINFusion'),
    'fianet': dict(type='FIAM'),
}


@pytest.fixture(params=FUSIONS)
def encoder(request):
    """A staged encoder of each kind, the parts of its text, and lengths to try."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    fusion = FUSIONS[request.param]
    backbone = dict(
        type='ReferringSwin', fusion=fusion, text_channels=TEXT_CHANNELS,
        embed_dims=16, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window_size=4,
        drop_path_rate=0.0,
    )  # fmt: skip
    model = MODELS.build(backbone)
    model.init_weights()
    parts = (3,) if fusion['type'] == 'FIAM' else ()
    # The released form lets padding into its norm over tokens: no padding for it.
    lengths = (7, 7, 7) if request.param == 'released' else (7, 4, 5)
    return model.double().eval(), parts, lengths


@torch.no_grad()
def test_encoder_shares_the_image(encoder):
    model, parts, lengths = encoder
    image = torch.randn(1, 3, 64, 48).double()
    text = torch.randn(3, *parts, 7, TEXT_CHANNELS).double()
    mask = torch.zeros(3, *parts, 7, dtype=torch.bool)
    for i, length in enumerate(lengths):
        mask[i, ..., :length] = True
    levels, refined = model(image, text, mask)
    assert {level.shape[0] for level in levels} == {3}
    for i, length in enumerate(lengths):
        own_text = text[i : i + 1, ..., :length, :]
        own_levels, own_refined = model(image, own_text, mask[i : i + 1, ..., :length])
        for level, expected in zip(levels, own_levels, strict=True):
            torch.testing.assert_close(level[i : i + 1], expected)
        torch.testing.assert_close(refined[i : i + 1, ..., :length, :], own_refined)


@torch.no_grad()
def test_logits_equal_the_single_ones(tiny_cfg, build_model):
    model = build_model(tiny_cfg).eval()
    image = torch.randn(1, 3, 64, 64)
    together = model.decode(image, **model.text_encoder.tokenize(EXPRESSIONS))
    assert together.shape[0] == len(EXPRESSIONS)
    for expression, logits in zip(EXPRESSIONS, together, strict=True):
        alone = model.decode(image, **model.text_encoder.tokenize([expression]))
        torch.testing.assert_close(logits, alone[0], rtol=0, atol=1e-5)


@torch.no_grad()
def test_first_stage_runs_on_one_image(tiny_cfg, build_model):
    model = build_model(tiny_cfg).eval()
    batches = {}

    def note(name):
        def hook(module, args):
            batches[name] = args[0].shape[0]

        return hook

    backbone = model.backbone
    backbone.patch_embed.register_forward_pre_hook(note('patches'))
    backbone.stages[0].blocks[0].register_forward_pre_hook(note('stage 1'))
    backbone.fusions[0].vglva.attention.value.register_forward_pre_hook(note('values'))
    backbone.stages[1].blocks[0].register_forward_pre_hook(note('stage 2'))
    tokens = model.text_encoder.tokenize(EXPRESSIONS)
    model.decode(torch.randn(1, 3, 64, 64), **tokens)
    assert batches == {'patches': 1, 'stage 1': 1, 'values': 1, 'stage 2': 4}


@torch.no_grad()
def test_predict_takes_one_image_for_many_samples(tiny_cfg, build_model, make_samples):
    model = build_model(tiny_cfg).eval()
    image = torch.randn(1, 3, 64, 64)
    samples = make_samples(EXPRESSIONS, ori_shape=(50, 70))
    results = model.predict(image, samples)
    for expression, result in zip(EXPRESSIONS, results, strict=True):
        (alone,) = model.predict(image, make_samples([expression], ori_shape=(50, 70)))
        assert result.seg_logits.data.shape == (2, 50, 70)
        torch.testing.assert_close(
            result.seg_logits.data, alone.seg_logits.data, rtol=0, atol=1e-5
        )


def test_numbers_that_do_not_match_are_refused(tiny_cfg, build_model):
    model = build_model(tiny_cfg).eval()
    tokens = model.text_encoder.tokenize(EXPRESSIONS)
    with pytest.raises(ValueError, match='2 images.*4 expressions'):
        model.decode(torch.randn(2, 3, 64, 64), **tokens)
