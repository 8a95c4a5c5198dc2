# SPDX-License-Identifier: Apache-2.0
"""Hosts of MMPretrain and timm, in environments that have them.

``tools/run_backbone_tests.sh`` makes such an environment and sets
MMCADFORMER_NEED_HOSTS, under which nothing skips.
"""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmcadformer.analysis import check_backbone

sys.path.insert(0, str(Path(__file__).parents[1]))
import hosts  # noqa: E402

NEEDED = bool(os.environ.get('MMCADFORMER_NEED_HOSTS'))


def needs(package: str):
    """Skips where a package isn't installed, unless the environment is made for it."""
    missing = importlib.util.find_spec(package) is None and not NEEDED
    return pytest.mark.skipif(missing, reason=f'{package} is not installed')


def build(cfg: dict, **kwargs):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    return MODELS.build(
        dict(host=cfg, fusion=dict(type='SMGAM'), text_channels=32, **kwargs)
    )


def check(cfg: dict, size: tuple[int, int] = (64, 64), **kwargs) -> list:
    text, mask = torch.randn(2, 6, 32), torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    findings = check_backbone(build(cfg, **kwargs), text, mask, size)
    assert all(f.passed for f in findings), [f for f in findings if not f.passed]
    return findings


@needs('mmpretrain')
@pytest.mark.parametrize('name', hosts.MMPRETRAIN)
def test_a_host_of_mmpretrain(name):
    check(hosts.MMPRETRAIN[name], type='ReferringBackbone')


@needs('mmpretrain')
def test_a_host_that_is_bound_to_its_size():
    """Any other one is refused by name."""
    arch = dict(
        layers=[1, 1, 1, 2],
        embed_dims=[16, 24, 32, 48],
        downsamples=[False, True, True, True],
        vit_num=1,
    )
    host = dict(type='mmpretrain.EfficientFormer', arch=arch, drop_path_rate=0.0)
    findings = check(host, size=(224, 224), type='ReferringBackbone')
    assert 'mmpretrain.EfficientFormer fails on images' in findings[-1].detail


@needs('mmpretrain')
@pytest.mark.parametrize('name', hosts.FLAT_MMPRETRAIN)
def test_a_flat_host_of_mmpretrain(name):
    check(hosts.FLAT_MMPRETRAIN[name], type='ReferringViT', pyramid_channels=16)


@needs('mmpretrain')
def test_weights_of_mmpretrain_come_from_a_file(tmp_path):
    cfg = hosts.MMPRETRAIN['mmpretrain.ConvNeXt V2']
    source = build(cfg, type='ReferringBackbone').host.state_dict()
    # As a classifier's checkpoint names them.
    weights = {f'backbone.{k}': v + 1 for k, v in source.items()}
    torch.save(dict(state_dict=weights), tmp_path / 'weights.pth')
    init_cfg = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'), prefix='backbone.'
    )
    backbone = build(dict(cfg, init_cfg=init_cfg), type='ReferringBackbone')
    backbone.init_weights()
    for name, value in backbone.host.state_dict().items():
        assert torch.equal(value, source[name] + 1), name


@needs('timm')
@pytest.mark.parametrize('name', hosts.TIMM)
def test_a_host_of_timm(name):
    check(hosts.TIMM[name], type='ReferringBackbone')


@needs('timm')
@pytest.mark.parametrize('name', hosts.FLAT_TIMM)
def test_a_flat_host_of_timm(name):
    check(hosts.FLAT_TIMM[name], type='ReferringViT', pyramid_channels=16)


@needs('timm')
def test_weights_of_timm_come_from_a_file(tmp_path):
    cfg = dict(hosts.TIMM['timm.convnextv2'])
    source = build(cfg, type='ReferringBackbone').host.model
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.5)
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    cfg['pretrained'] = str(tmp_path / 'weights.pth')
    backbone = build(cfg, type='ReferringBackbone')
    backbone.init_weights()
    for name, value in backbone.host.model.state_dict().items():
        assert torch.equal(value, source.state_dict()[name]), name


@needs('timm')
def test_weights_of_another_model_are_refused(tmp_path):
    torch.save({'layer.weight': torch.ones(2)}, tmp_path / 'weights.pth')
    cfg = dict(hosts.TIMM['timm.convnextv2'], pretrained=str(tmp_path / 'weights.pth'))
    backbone = build(cfg, type='ReferringBackbone')
    with pytest.raises(RuntimeError, match='model.backbone.host.pretrained'):
        backbone.init_weights()


@needs('timm')
def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="no model 'swin_huge_42'"):
        build(
            dict(type='TimmBackbone', model_name='swin_huge_42'),
            type='ReferringBackbone',
        )
