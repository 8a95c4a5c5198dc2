# SPDX-License-Identifier: Apache-2.0
"""Masks of a tiny SAM against the plain model."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import SamModel, SamProcessor

from mmcadformer.annotation import SamBoxSegmenter


@pytest.fixture(scope='module')
def image():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (5, 7, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=0).repeat(14, axis=1)  # 80 x 98


@pytest.fixture(scope='module')
def boxes():
    rng = np.random.default_rng(1)
    corners = rng.random((11, 2)) * (60, 50)
    return np.concatenate([corners, corners + 8 + rng.random((11, 2)) * 22], 1).tolist()


def one_at_a_time(folder, image, box, multimask):
    """A box by the plain model: encoded anew, enlarged here step by step."""
    model = SamModel.from_pretrained(folder)
    inputs = SamProcessor.from_pretrained(folder)(images=image, return_tensors='pt')
    height, width = image.shape[:2]
    inner = round(64 * height / width)  # rows; the rest of the 64 is padding
    scale = torch.tensor([64 / width, inner / height] * 2)
    with torch.no_grad():
        output = model(
            pixel_values=inputs['pixel_values'],
            input_boxes=torch.tensor([[box]]) * scale,
            multimask_output=multimask,
        )
    best = output.iou_scores[0, 0].argmax()
    logits = output.pred_masks[:, 0, best, None]
    logits = functional.interpolate(logits, (64, 64), mode='bilinear')
    logits = logits[..., :inner, :]
    logits = functional.interpolate(logits, (height, width), mode='bilinear')
    return logits[0, 0].numpy(), output.iou_scores[0, 0, best].item()


@pytest.mark.parametrize('choose', ['predicted_iou', 'single'])
def test_masks_are_those_of_the_plain_model(tiny_sam, image, boxes, choose):
    segmenter = SamBoxSegmenter(tiny_sam, 'cpu', choose=choose)
    masks, scores = segmenter.segment(image, boxes)
    assert masks.shape == (len(boxes), 80, 98) and masks.dtype == bool
    assert scores.dtype == np.float32
    for box, mask, score in zip(boxes, masks, scores, strict=True):
        logits, expected = one_at_a_time(tiny_sam, image, box, choose != 'single')
        assert score == pytest.approx(expected, rel=1e-4)
        sure = np.abs(logits) > 1e-4
        assert np.array_equal(mask[sure], logits[sure] > 0)
        assert sure.mean() > 0.99
    # The boxes matter, or the test would say little.
    assert len({mask.tobytes() for mask in masks}) > len(boxes) // 2


def test_the_image_is_encoded_once(tiny_sam, image, boxes):
    segmenter = SamBoxSegmenter(tiny_sam, 'cpu', boxes_per_pass=3)
    calls = []
    segmenter.model.vision_encoder.register_forward_hook(lambda *_: calls.append('v'))
    segmenter.model.mask_decoder.register_forward_hook(lambda *_: calls.append('m'))
    masks, scores = segmenter.segment(image, boxes)
    assert calls == ['v', 'm', 'm', 'm', 'm']
    at_once = SamBoxSegmenter(tiny_sam, 'cpu').segment(image, boxes)
    assert np.mean(masks != at_once[0]) < 1e-3
    np.testing.assert_allclose(scores, at_once[1], rtol=1e-4)


def test_no_boxes(tiny_sam, image):
    masks, scores = SamBoxSegmenter(tiny_sam, 'cpu').segment(image, [])
    assert masks.shape == (0, 80, 98) and scores.shape == (0,)


def test_settings_tell_models_apart(tiny_sam, tmp_path):
    before = SamBoxSegmenter(tiny_sam, 'cpu')
    model = SamModel.from_pretrained(tiny_sam)
    SamProcessor.from_pretrained(tiny_sam).save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert SamBoxSegmenter(tmp_path, 'cpu').weights == before.weights
    with torch.no_grad():
        model.mask_decoder.iou_token.weight[0, 0] += 1e-3
    model.save_pretrained(tmp_path)
    assert SamBoxSegmenter(tmp_path, 'cpu').weights != before.weights


def test_bad_checkpoints_and_arguments(tiny_sam, tmp_path):
    with pytest.raises(FileNotFoundError, match='facebook/sam-vit-huge'):
        SamBoxSegmenter('nobody/nothing')
    with pytest.raises(FileNotFoundError, match=r'model\.safetensors'):
        SamBoxSegmenter(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="model 'bert', not of SAM"):
        SamBoxSegmenter(tmp_path)
    with pytest.raises(ValueError, match='choose must be one of'):
        SamBoxSegmenter(tiny_sam, choose='best')
    with pytest.raises(ValueError, match='dtype must be one of'):
        SamBoxSegmenter(tiny_sam, dtype='int8')


@pytest.mark.gpu
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_the_gpu_makes_nearly_the_same_masks(tiny_sam, image, boxes, dtype):
    expected, scores = SamBoxSegmenter(tiny_sam, 'cpu').segment(image, boxes)
    masks, found = SamBoxSegmenter(tiny_sam, 'cuda', dtype).segment(image, boxes)
    assert np.mean(masks != expected) < (1e-3 if dtype == 'float32' else 0.1)
    np.testing.assert_allclose(found, scores, atol=1e-3 if dtype == 'float32' else 0.2)
