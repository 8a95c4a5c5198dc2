# SPDX-License-Identifier: Apache-2.0
"""Settings and ways of use that can't work, and what is said of them."""

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import inference_model, init_model
from mmseg.registry import MODELS


def test_more_tokens_than_positions(tiny_config):
    init_default_scope('mmseg')
    encoder = Config.fromfile(tiny_config).model.text_encoder
    encoder.config.max_position_embeddings = encoder.max_tokens
    MODELS.build(encoder)
    encoder.max_tokens += 1
    with pytest.raises(ValueError, match='max_tokens=41: the encoder has 40 positions'):
        MODELS.build(encoder)


def test_the_hosts_inference_names_ours(tiny_config, tiny_data):
    model = init_model(str(tiny_config), device='cpu')
    image = next(tiny_data.rglob('*.jpg'), None) or next(tiny_data.rglob('*.png'))
    with pytest.raises(ValueError, match='no expression .*ReferringInferencer'):
        inference_model(model, str(image))
