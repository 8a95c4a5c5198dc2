# SPDX-License-Identifier: Apache-2.0
"""Small real models for the tests of the network."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmcadformer  # noqa: F401  (registers the components)

CHANNELS = (16, 32, 64, 128)

TINY = dict(
    type='ReferringSegmentor',
    data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=1),
    text_encoder=dict(
        type='BertTextEncoder',
        pretrained=None,
        vocab='remote_sensing',
        config=dict(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
        ),
        max_tokens=24,
    ),
    backbone=dict(
        type='CADFormerSwin',
        embed_dims=16,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 2, 4),
        window_size=4,
        drop_path_rate=0.0,
        text_channels=32,
    ),
    neck=dict(
        type='CrossScaleInteractionNeck', in_channels=CHANNELS, channels=60, grid_size=4
    ),
    decode_head=dict(
        type='TCMDHead',
        in_channels=CHANNELS,
        channels=24,
        text_channels=32,
        num_heads=4,
        feedforward_channels=32,
        loss_decode=[
            dict(type='CrossEntropyLoss', loss_weight=0.9, loss_name='loss_ce'),
            dict(
                type='DiceLoss',
                use_sigmoid=False,
                naive_dice=True,
                ignore_index=0,
                loss_weight=0.1,
                loss_name='loss_dice',
            ),
        ],
    ),
    test_cfg=dict(mode='whole'),
)


@pytest.fixture
def tiny_cfg() -> dict:
    """Config of a CADFormer with every part, a few thousand weights each."""
    return copy.deepcopy(TINY)


@pytest.fixture
def build_model():
    """Builds and initialises a model from its config, reproducibly."""

    def build(cfg: dict):
        init_default_scope('mmseg')
        torch.manual_seed(0)
        model = MODELS.build(cfg)
        model.init_weights()
        return model

    return build


@pytest.fixture
def make_samples():
    """Data samples with an expression and a random mask."""

    def make(expressions: list[str], size=(64, 64), ori_shape=None) -> list:
        generator = torch.Generator().manual_seed(1)
        samples = []
        for expression in expressions:
            mask = torch.randint(0, 2, (1, *size), generator=generator)
            sample = SegDataSample(gt_sem_seg=PixelData(data=mask))
            sample.set_metainfo(
                dict(
                    expression=expression,
                    img_shape=size,
                    ori_shape=ori_shape or size,
                )
            )
            samples.append(sample)
        return samples

    return make
