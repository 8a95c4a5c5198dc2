# SPDX-License-Identifier: Apache-2.0
"""ReferringBackbone: the same as ReferringSwin on Swin, and what it refuses."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from mmcadformer.analysis import build_tree, count_flops, random_inputs
from mmcadformer.analysis.cost import _sum_parts
from mmcadformer.apis.explanation import record_attention
from mmcadformer.models import ReferringBackbone

EXPRESSIONS = ['the red tennis court', 'a pool on the far left side of the road']
SWIN = dict(
    type='SwinTransformer',
    embed_dims=16,
    depths=(1, 2, 1, 1),
    num_heads=(1, 2, 2, 4),
    window_size=4,
    drop_path_rate=0.0,
)
CONVNEXT = dict(
    type='TransformersBackbone',
    config=dict(
        model_type='convnextv2', depths=[1, 2, 1, 1], hidden_sizes=[16, 32, 64, 128]
    ),
)
VIT = dict(
    type='TransformersBackbone',
    config=dict(
        model_type='dinov2',
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=3,
        patch_size=16,
        image_size=64,
    ),
)


class Ladder(BaseModule):
    """A host that no table knows: four convolutions of stride 2."""

    def __init__(self, order=(0, 1, 2, 3), spare=False, init_cfg=None):
        super().__init__(init_cfg)
        channels = (3, 8, 16, 24, 32)
        self.steps = nn.ModuleList(
            nn.Conv2d(a, b, 2, stride=2)
            for a, b in zip(channels[:-1], channels[1:], strict=True)
        )
        self.order = order
        self.spare = nn.Linear(3, 3) if spare else None

    def forward(self, x):
        for i in self.order:
            x = self.steps[i](x)
        return x


def host_weights(state: dict) -> dict:
    """Weights of a ReferringSwin as ReferringBackbone names them."""
    return {k if k.startswith('fusions') else f'host.{k}': v for k, v in state.items()}


@pytest.fixture
def general_cfg(tiny_cfg):
    """The tiny CADFormer with its Swin as a host."""
    tiny_cfg['backbone'] = dict(
        type='ReferringBackbone',
        host=dict(SWIN),
        fusion=dict(type='SMGAM'),
        text_channels=32,
    )
    return tiny_cfg


@pytest.fixture
def pair(tiny_cfg, general_cfg, build_model):
    """CADFormerSwin and ReferringBackbone on Swin, with the same weights."""
    cfg = copy.deepcopy(general_cfg)
    cfg['backbone'] = dict(SWIN, type='CADFormerSwin', text_channels=32)
    own = build_model(cfg).eval()
    general = build_model(general_cfg).eval()
    state = own.state_dict()
    backbone = {k[9:]: v for k, v in state.items() if k.startswith('backbone.')}
    rest = {k: v for k, v in state.items() if not k.startswith('backbone.')}
    renamed = {f'backbone.{k}': v for k, v in host_weights(backbone).items()}
    general.load_state_dict({**rest, **renamed})
    return own, general


@torch.no_grad()
@pytest.mark.parametrize('shape', [(2, 64, 64), (2, 70, 51), (1, 64, 64)])
def test_equal_logits_to_referring_swin(pair, shape):
    own, general = pair
    images = torch.randn(shape[0], 3, *shape[1:])
    tokens = own.text_encoder.tokenize(EXPRESSIONS)
    expected = own.decode(images, **tokens)
    torch.testing.assert_close(
        general.decode(images, **tokens), expected, rtol=0, atol=1e-6
    )


@torch.no_grad()
def test_fusions_that_take_the_input_of_a_stage(general_cfg, build_model):
    general_cfg['backbone']['fusion'] = dict(type='ReleasedSMGAM')
    general = build_model(general_cfg).eval().backbone
    own = MODELS.build(
        dict(SWIN, type='ReferringSwin', fusion=dict(type='ReleasedSMGAM'))
        | dict(text_channels=32)
    ).eval()
    general.load_state_dict(host_weights(own.state_dict()))
    inputs = torch.randn(2, 3, 64, 64), torch.randn(2, 5, 32), torch.ones(2, 5) > 0
    for one, other in zip(own(*inputs)[0], general(*inputs)[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=5e-5)


def test_parts_cost_the_same_as_in_referring_swin(pair):
    parts = []
    for model in pair:
        tree = build_tree(
            '', model, count_flops(model, **random_inputs((64, 64), tokens=8))
        )
        parts.append(_sum_parts(tree))
    assert parts[0] == parts[1]
    assert parts[0]['fusion']['flops'] > 0


@torch.no_grad()
def test_the_attention_is_that_of_referring_swin(pair, make_samples):
    found = []
    for model in pair:
        words = model.text_encoder.split_words(EXPRESSIONS[0])
        data = dict(
            inputs=[torch.ones(3, 70, 51, dtype=torch.uint8)],
            data_samples=make_samples(EXPRESSIONS[:1], size=(70, 51)),
        )
        with record_attention(model, words) as stages:
            model.test_step(data)
        found.append(stages)
    assert len(found[0]) == len(found[1]) == 4
    for one, other in zip(*found, strict=True):
        assert one.image_share == other.image_share
        for kind in ('pixels_to_words', 'words_to_pixels'):
            a, b = (torch.from_numpy(getattr(s, kind)) for s in (one, other))
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_a_host_of_ones_own(build_model):
    """Its stages are said in the config; what nothing depends on is frozen."""
    MODELS.register_module(module=Ladder, force=True)
    backbone = MODELS.build(
        dict(
            type='ReferringBackbone',
            host=dict(type='Ladder', spare=True),
            recipe=dict(stages=[f'steps.{i}' for i in range(4)]),
            fusion=dict(type='PWAM'),
            text_channels=8,
        )
    )
    assert backbone.channels == (8, 16, 24, 32)
    assert backbone.strides == ((2, 2), (4, 4), (8, 8), (16, 16))
    assert set(backbone.facts.unused) == {'spare.weight', 'spare.bias'}
    assert not backbone.host.spare.weight.requires_grad
    maps, _ = backbone(
        torch.randn(2, 3, 32, 48), torch.randn(2, 4, 8), torch.ones(2, 4) > 0
    )
    assert [tuple(m.shape) for m in maps] == [
        (2, 8, 16, 24), (2, 16, 8, 12), (2, 24, 4, 6), (2, 32, 2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('host', 'recipe', 'message'),
    [
        (dict(type='Ladder'), None, 'where the stages of .*Ladder are is not known'),
        (dict(type='Ladder'), dict(stages=['steps.0', 'steps.7']), 'steps.7'),
        (
            dict(type='Ladder', order=(0, 1)),
            dict(stages=['steps.0', 'steps.1', 'steps.2']),
            'steps.2, stage 3, 0 times',
        ),
        (
            dict(type='Ladder'),
            dict(stages=['steps.1', 'steps.0']),
            'in the order',
        ),
        (dict(type='Ladder'), dict(stages=['steps.0'], layer=1), 'unknown keys'),
        (dict(type='Ladder'), dict(stages=['steps.0'], layout='chwn'), 'layout'),
        (dict(type='HRNet', extra=dict()), None, 'run side by side'),
        (
            dict(type='TransformersBackbone', config=dict(model_type='hiera')),
            None,
            'raster order',
        ),
        (dict(type='VisionTransformer', num_layers=4), None, "type='ReferringViT'"),
    ],
)
def test_hosts_that_are_not_fit_are_refused_by_name(build_model, host, recipe, message):
    MODELS.register_module(module=Ladder, force=True)
    with pytest.raises(ValueError, match=message):
        ReferringBackbone(
            host=host, recipe=recipe, fusion=dict(type='PWAM'), text_channels=8
        )


def test_building_leaves_random_numbers_and_mode_alone():
    torch.manual_seed(3)
    host = dict(SWIN, drop_path_rate=0.3)
    MODELS.build(host)
    expected = torch.rand(1)
    torch.manual_seed(3)
    backbone = ReferringBackbone(host, fusion=dict(type='SMGAM'), text_channels=8)
    assert backbone.host.training and backbone.host.stages[0].training
    torch.manual_seed(3)
    MODELS.build(host)
    assert torch.equal(torch.rand(1), expected)


def test_checkpoints_inside_the_host_change_no_gradient():
    """Also where stages are frozen."""
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = ReferringBackbone(
            dict(SWIN, with_cp=with_cp, frozen_stages=0),
            fusion=dict(type='SMGAM'),
            text_channels=8,
        ).train()
        assert backbone.facts.unused == ()
        torch.manual_seed(1)
        inputs = torch.randn(2, 3, 64, 64), torch.randn(2, 5, 8), torch.ones(2, 5) > 0
        maps, text = backbone(*inputs)
        sum(m.square().sum() for m in (*maps, text)).backward()
        gradients.append({n: p.grad for n, p in backbone.named_parameters()})
    assert any(value is None for value in gradients[0].values())
    for name, expected in gradients[0].items():
        if expected is None:
            assert gradients[1][name] is None, name
        else:
            difference = (gradients[1][name] - expected).norm()
            # Of a sum over all maps; some are zero but for rounding.
            assert difference <= 1e-4 * expected.norm() + 1e-3, name


def test_other_statistics_of_pixels_are_warned_of(general_cfg, build_model, tmp_path):
    (tmp_path / 'preprocessor_config.json').write_text(
        '{"image_mean": [0.43, 0.411, 0.296], "image_std": [0.213, 0.156, 0.143]}'
    )
    general_cfg['backbone']['host'] = dict(CONVNEXT, pretrained=str(tmp_path))
    (tmp_path / 'config.json').write_text('{"model_type": "convnextv2"}')
    general_cfg['data_preprocessor'].update(mean=[123.675] * 3, std=[58.395] * 3)
    cfg = copy.deepcopy(general_cfg)
    init_default_scope('mmseg')
    messages = []
    import logging

    from mmengine.logging import MMLogger

    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        MODELS.build(cfg)
    finally:
        logger.removeHandler(handler)
    assert any('109.65' in m and 'data_preprocessor.mean' in m for m in messages)


@torch.no_grad()
@pytest.mark.parametrize(
    ('kind', 'host'),
    [
        ('ReferringBackbone', SWIN),
        ('ReferringBackbone', CONVNEXT),
        ('ReferringViT', VIT),
    ],
    ids=['sequence', 'maps', 'flat'],
)
def test_compiled_and_exported_as_it_runs(kind, host):
    init_default_scope('mmseg')
    cfg = dict(type=kind, host=host, fusion=dict(type='SMGAM'), text_channels=8)
    backbone = MODELS.build(cfg).eval()
    inputs = torch.randn(2, 3, 64, 64), torch.randn(2, 5, 8), torch.ones(2, 5) > 0
    expected = backbone(*inputs)[0]
    compiled = torch.compile(backbone, backend='eager', fullgraph=True)
    for one, other in zip(expected, compiled(*inputs)[0], strict=True):
        torch.testing.assert_close(one, other)
    exported = torch.export.export(backbone, inputs).module()
    for one, other in zip(expected, exported(*inputs)[0], strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('name', ['convnextv2', 'vit'])
def test_tiny_configs_train_and_predict(name, repo_root, make_samples):
    """The gradient reaches every parameter, and every part has a say."""
    cfg = Config.fromfile(repo_root / f'configs/cadformer_{name}_tiny_synthrs.py')
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    batch = dict(inputs=list(images), data_samples=make_samples(EXPRESSIONS))
    data = model.data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    lacking = [
        n for n, p in model.named_parameters() if p.requires_grad and p.grad is None
    ]
    assert lacking == []
    (one, other) = model.eval().test_step(batch)
    assert one.pred_sem_seg.data.shape == other.pred_sem_seg.data.shape == (1, 64, 64)


def test_weights_of_the_host_come_from_a_file(tmp_path):
    init_default_scope('mmseg')
    source = MODELS.build(SWIN)
    weights = {f'backbone.{k}': v + 1 for k, v in source.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'swin.pth')
    init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'swin.pth'), prefix='backbone.'
    )
    mit = dict(
        type='MixVisionTransformer',
        embed_dims=8,
        num_layers=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
    )
    fusion = dict(type='SMGAM')
    backbone = ReferringBackbone(dict(mit, init_cfg=init_cfg), fusion, text_channels=8)
    with pytest.raises(RuntimeError, match='another model than mmseg.MixVision'):
        backbone.init_weights()
    init_cfg['checkpoint'] = str(tmp_path / 'none.pth')
    backbone = ReferringBackbone(dict(SWIN, init_cfg=init_cfg), fusion, text_channels=8)
    with pytest.raises(RuntimeError, match='host.init_cfg.checkpoint: cannot read'):
        backbone.init_weights()
