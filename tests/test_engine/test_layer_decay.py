# SPDX-License-Identifier: Apache-2.0
"""Learning rates by layer of a host."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

import mmcadformer  # noqa: F401
from mmcadformer.models import ReferringBackbone, ReferringViT

VIT = dict(
    type='TransformersBackbone',
    config=dict(
        model_type='dinov2',
        hidden_size=12,
        num_hidden_layers=6,
        num_attention_heads=2,
        image_size=28,
    ),
)
SWIN = dict(
    type='SwinTransformer',
    embed_dims=8,
    depths=(1, 1, 3, 1),
    num_heads=(1, 1, 2, 2),
    window_size=4,
)
CONVNEXT = dict(
    type='TransformersBackbone',
    config=dict(
        model_type='convnext', depths=[1, 1, 2, 1], hidden_sizes=[4, 8, 12, 16]
    ),
)


class Model(nn.Module):
    def __init__(self, kind, host):
        super().__init__()
        init_default_scope('mmseg')
        fusion = dict(type='SMGAM')
        self.backbone = kind(host, fusion=fusion, text_channels=8)
        self.head = nn.Linear(2, 2)


def rates(model, rate=0.5, **paramwise) -> dict[str, float]:
    """Learning rate of each parameter by its name."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='LayerDecayConstructor',
            optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1),
            paramwise_cfg=dict(layer_decay_rate=rate, **paramwise),
        ),
    )
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[group['params'][0]]: group['lr']
        for group in wrapper.optimizer.param_groups
    }


@pytest.mark.parametrize(
    ('kind', 'host', 'expected'),
    [
        (
            ReferringViT,
            VIT,
            {
                'model.embeddings.patch_embeddings.projection.weight': 7,
                'model.encoder.layer.0.mlp.fc1.weight': 6,
                'model.encoder.layer.3.mlp.fc1.weight': 3,
                'model.encoder.layer.5.mlp.fc1.weight': 1,
                'model.layernorm.weight': 0,
            },
        ),
        (
            ReferringBackbone,
            SWIN,
            {
                'patch_embed.projection.weight': 7,
                'stages.0.blocks.0.ffn.layers.1.weight': 6,
                'stages.0.downsample.reduction.weight': 5,
                'stages.2.blocks.0.norm1.weight': 4,
                'stages.2.blocks.2.norm1.weight': 2,
                'stages.2.downsample.reduction.weight': 1,
                'stages.3.blocks.0.norm1.weight': 1,
                'norm0.weight': 0,
            },
        ),
        (
            ReferringBackbone,
            CONVNEXT,
            {
                'model.embeddings.patch_embeddings.weight': 6,
                'model.encoder.stages.0.layers.0.dwconv.weight': 5,
                'model.encoder.stages.2.layers.1.dwconv.weight': 2,
                'model.encoder.stages.3.layers.0.dwconv.weight': 1,
            },
        ),
    ],
    ids=['vit', 'swin', 'convnext'],
)
def test_the_rate_falls_with_the_depth(kind, host, expected):
    model = Model(kind, host)
    found = rates(model)
    assert len(found) == sum(p.requires_grad for p in model.parameters())
    for name, power in expected.items():
        assert found[f'backbone.host.{name}'] == pytest.approx(0.5**power), name
    others = {v for k, v in found.items() if not k.startswith('backbone.host.')}
    assert others == {1.0}


def test_other_keys_keep_their_meaning():
    model = Model(ReferringBackbone, SWIN)
    found = rates(model, custom_keys={'norm1': dict(lr_mult=0.1)})
    name = 'backbone.host.stages.3.blocks.0.norm1.weight'
    assert found[name] == pytest.approx(0.05)


@pytest.mark.parametrize('rate', [None, 0, 1.5, 'half'])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match='layer_decay_rate'):
        rates(Model(ReferringBackbone, SWIN), rate)


def test_another_backbone_is_refused():
    model = nn.Module()
    model.backbone = nn.Linear(1, 1)
    model.weight = nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match='ReferringBackbone'):
        rates(model)
