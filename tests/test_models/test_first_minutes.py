# SPDX-License-Identifier: Apache-2.0
"""Settings and ways of use that can't work, and what is said of them."""

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.registry import MODELS


def test_more_tokens_than_positions(tiny_config):
    init_default_scope('mmseg')
    encoder = Config.fromfile(tiny_config).model.text_encoder
    encoder.config.max_position_embeddings = encoder.max_tokens
    MODELS.build(encoder)
    encoder.max_tokens += 1
    with pytest.raises(ValueError, match='max_tokens=41: the encoder has 40 positions'):
        MODELS.build(encoder)


def test_the_hosts_inferencer_names_ours(tiny_config, tiny_checkpoint):
    with pytest.raises(ValueError, match='gives no expression .*ReferringInferencer'):
        MMSegInferencer(str(tiny_config), str(tiny_checkpoint), device='cpu')


def test_the_hosts_inferencer_takes_other_models_as_before(tmp_path):
    cfg = Config(
        dict(
            model=dict(
                type='EncoderDecoder',
                data_preprocessor=dict(type='SegDataPreProcessor'),
                backbone=dict(
                    type='UNet', base_channels=4, num_stages=2, strides=(1, 1),
                    enc_num_convs=(1, 1), dec_num_convs=(1,), downsamples=(True,),
                    enc_dilations=(1, 1), dec_dilations=(1,),
                ),
                decode_head=dict(
                    type='FCNHead', in_channels=4, in_index=1, channels=4,
                    num_classes=2,
                ),
                test_cfg=dict(mode='whole'),
            ),
            test_dataloader=dict(
                dataset=dict(
                    pipeline=[
                        dict(type='LoadImageFromFile'), dict(type='PackSegInputs')
                    ]
                )
            ),
            visualizer=dict(type='SegLocalVisualizer'),
        )
    )  # fmt: skip
    inferencer = MMSegInferencer(cfg, device='cpu')
    image = np.zeros((32, 48, 3), np.uint8)
    assert inferencer(image)['predictions'].shape == (32, 48)


def test_the_hosts_inference_names_ours(tiny_config, tiny_data):
    model = init_model(str(tiny_config), device='cpu')
    image = next(tiny_data.rglob('*.jpg'), None) or next(tiny_data.rglob('*.png'))
    with pytest.raises(ValueError, match='no expression .*ReferringInferencer'):
        inference_model(model, str(image))
