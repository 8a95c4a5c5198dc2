# SPDX-License-Identifier: Apache-2.0
"""The staged encoder: where features go, what is built, what is refused."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcadformer.models import PWAM, CADFormerSwin

ROOT = Path(__file__).resolve().parents[2]

ARGS = dict(
    embed_dims=16, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window_size=4,
    drop_path_rate=0.0, text_channels=12,
)  # fmt: skip


@pytest.fixture
def text():
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    return torch.randn(2, 6, 12), mask


def test_stages_chain_as_equations_5_and_9(text):
    torch.manual_seed(0)
    model = CADFormerSwin(**ARGS).eval()
    x = torch.randn(2, 3, 64, 48)
    levels, refined = model(x, *text)
    language, mask = text
    visual, size = model.patch_embed(x)
    for i, stage in enumerate(model.stages):
        for block in stage.blocks:
            visual = block(visual, size)
        lgvla, vglva = model.fusions[i].lgvla, model.fusions[i].vglva
        guided = lgvla(visual, language, mask)
        language = language + vglva(visual, language, mask)
        normed = getattr(model, f'norm{i}')(guided)
        expected = normed.transpose(1, 2).reshape(levels[i].shape)
        torch.testing.assert_close(levels[i], expected, rtol=1e-4, atol=1e-5)
        if stage.downsample is not None:
            visual, size = stage.downsample(visual + guided, size)
    torch.testing.assert_close(refined, language, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(64, 64), (65, 33), (30, 100), (32, 32)])
def test_any_input_size(size, text):
    model = CADFormerSwin(**ARGS).eval()
    levels, refined = model(torch.randn(2, 3, *size), *text)
    assert [level.shape[1] for level in levels] == [16, 32, 64, 128]
    assert levels[0].shape[2:] == (-(-size[0] // 4), -(-size[1] // 4))
    assert refined.shape == (2, 6, 12)


def test_first_stage_can_be_shared_by_expressions(text):
    model = CADFormerSwin(**ARGS).eval()
    x = torch.randn(1, 3, 64, 64)
    shared = model(model.forward_first_stage(x), *text)
    single = model(x.expand(2, -1, -1, -1), *text)
    for a, b in zip((*shared[0], shared[1]), (*single[0], single[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_last_vglva_is_left_out_when_nothing_reads_its_text():
    model = CADFormerSwin(text_output=False, **ARGS)
    assert [f.vglva is None for f in model.fusions] == [False, False, False, True]


def test_vglva_that_nothing_reads_is_refused():
    with pytest.raises(ValueError, match='vglva=True refines text'):
        CADFormerSwin(lgvla=False, text_output=False, **ARGS)


def growth(text, **how):
    """Of language features in a training whose only aim is that they grow."""
    torch.manual_seed(0)
    model = CADFormerSwin(**how, **ARGS)
    model.init_weights()
    images = torch.randn(2, 3, 64, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(20):
        loss = -model(images, *text)[1].norm()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return -loss.item() / text[0].norm().item()


def test_steady_language_stays_bounded_in_training(text):
    # What a stage adds is no product with what those before it added.
    assert growth(text) > 20 * growth(text, steady_language=True)


def test_missing_stage_outputs_are_refused():
    with pytest.raises(ValueError, match=r'out_indices=\(3,\)'):
        CADFormerSwin(out_indices=(3,), **ARGS)


def test_missing_weights_name_the_config_key(tmp_path):
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'swin.pth'))
    model = CADFormerSwin(init_cfg=init_cfg, **ARGS)
    with pytest.raises(RuntimeError, match='model.backbone.init_cfg.checkpoint'):
        model.init_weights()


def test_weights_of_another_model_are_refused(tmp_path):
    file = tmp_path / 'other.pth'
    torch.save({'state_dict': {'layer1.conv.weight': torch.zeros(1)}}, file)
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    model = CADFormerSwin(init_cfg=init_cfg, **ARGS)
    with pytest.raises(RuntimeError, match='none of the 1 weights fits'):
        model.init_weights()


def test_pretrained_weights_are_loaded(tmp_path):
    source = CADFormerSwin(lgvla=False, vglva=False, **ARGS)
    torch.nn.init.normal_(source.patch_embed.projection.weight)
    file = tmp_path / 'swin.pth'
    torch.save({'state_dict': source.state_dict()}, file)
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    model = CADFormerSwin(init_cfg=init_cfg, **ARGS)
    model.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_another_fusion_takes_the_place_of_smgam(text):
    model = CADFormerSwin(fusion=dict(type='PWAM', num_heads=2), **ARGS)
    assert all(isinstance(fusion, PWAM) for fusion in model.fusions)
    assert model.fusions[0].align.attention.num_heads == 2
    levels, words = model(torch.randn(2, 3, 64, 64), *text)
    assert len(levels) == 4 and words is text[0]


@pytest.mark.parametrize('key', [dict(vglva=False), dict(num_heads_fusion=2)])
def test_keys_of_smgam_beside_another_fusion_are_refused(key):
    with pytest.raises(ValueError, match='put settings of a fusion into'):
        CADFormerSwin(fusion=dict(type='PWAM'), **key, **ARGS)


def test_a_config_that_inherits_cadformer_can_set_another_fusion():
    cfg = Config.fromfile(ROOT / 'configs' / 'cadformer_tiny_synthrs.py')
    cfg.merge_from_dict({'model.backbone.fusion': dict(type='PWAM')})
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    assert all(isinstance(fusion, PWAM) for fusion in model.backbone.fusions)
