# SPDX-License-Identifier: Apache-2.0
"""The two protocols against loops that are written from their descriptions."""

import warnings

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import METRICS, TRANSFORMS
from PIL import Image
from pycocotools import mask as mask_utils
from torch.nn.functional import interpolate

from mmcadformer.evaluation import RELEASED, ReferringIoUMetric, summarize
from mmcadformer.evaluation.protocols import resample_truth

CASES = 500
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
SIZES = [(37, 53), (64, 64), (81, 40), (100, 75), (128, 96)]
SAMPLED = [(256, 28), (512, 28), (640, 99), (1024, 28), (2048, 28)]
LARGE = [(256, 256), (512, 512), (640, 640), (301, 399)]


def make_case(index):
    """Parts of an annotation, and a prediction at the input size of 48 px or 480 px."""
    rng = np.random.default_rng(index)
    large = index % 25 == 0
    size = (LARGE if large else SIZES)[rng.integers(4 if large else 5)]
    side = 480 if large else 48
    parts = [make_part(rng, *size) for _ in range(rng.integers(1, 5))]
    if index % 7 == 0:  # nothing is left of a part that is there twice
        parts = [parts[0], parts[0]]
    pred = shown_truth(size, parts, (side, side)).astype(np.uint8)
    target = np.argwhere(pred)
    if index % 10 == 1 or not len(target):
        pred[:] = index % 4 == 1
    elif index % 10 < 6:  # a tie: so many tenths of the target, where that can be
        target = target[: len(target) // 10 * 10]
        pred[:] = 0
        count = len(target) * (5 + index % 10) // 10
        pred[tuple(target[:count].T)] = 1
    else:
        pred = np.roll(pred, rng.integers(0, 8, 2), axis=(0, 1))
    return size, parts, pred


def make_part(rng, height, width):
    """A polygon or an RLE."""
    x, y = rng.uniform(0, 0.7 * width), rng.uniform(0, 0.7 * height)
    w, h = rng.uniform(3, 0.5 * width), rng.uniform(3, 0.5 * height)
    polygon = [x, y, x + w, y, x + w, y + h, x, y + rng.uniform(1, h)]
    polygon = np.clip(polygon, 0, np.tile([width, height], 4)).tolist()
    if rng.random() < 0.5:
        return polygon
    return mask_utils.frPyObjects([polygon], height, width)[0]


def shown_truth(size, parts, shape):
    """What a released reader and its transform make of an annotation, (H, W) bool."""
    count = np.zeros(size, int)
    for part in parts:
        if isinstance(part, list):
            (part,) = mask_utils.frPyObjects([part], *size)
        count += mask_utils.decode(part)
    picture = Image.fromarray((count == 1).astype(np.uint8), mode='P')
    return np.array(picture.resize(shape[::-1], Image.NEAREST)) == 1


def released_metrics(cases):
    """RMSIN's evaluation, in one loop over expressions."""
    ious, all_i, all_u, hits = [], 0, 0, dict.fromkeys(THRESHOLDS, 0)
    for size, parts, pred in cases:
        truth = shown_truth(size, parts, pred.shape)
        i = int(np.logical_and(pred == 1, truth).sum())
        u = int(np.logical_or(pred == 1, truth).sum())
        iou = 0.0 if i == 0 or u == 0 else i / u
        ious.append(iou)
        all_i, all_u = all_i + i, all_u + u
        for x in THRESHOLDS:
            hits[x] += iou >= x
    metrics = dict(mIoU=100 * np.mean(ious), oIoU=100 * all_i / all_u)
    return metrics | {f'Pr@{x}': 100 * hits[x] / len(cases) for x in THRESHOLDS}, ious


def load(size, parts, pred, **more):
    """A data sample as the test pipeline and a network make it."""
    record = dict(
        img_path='x.png', height=size[0], width=size[1], segmentation=parts,
        ori_shape=size, expression='it', seg_fields=[], reduce_zero_label=False,
        **more,
    )  # fmt: skip
    for name in ('LoadReferringMask', 'PackReferringInputs'):
        record = TRANSFORMS.build(dict(type=name))(record)
    sample = record['data_samples']
    sample.pred_input_seg = PixelData(data=torch.from_numpy(pred)[None])
    return sample.to_dict()


def test_released_against_a_loop_over_random_cases():
    cases = [make_case(i) for i in range(CASES)]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)  # Pillow's mode
        expected, ious = released_metrics(cases)
    metric = METRICS.build(dict(type='ReferringIoUMetric', protocol='released'))
    metric.process(None, [load(*case) for case in cases])
    found = [result.intersection / max(result.union, 1) for result in metric.results]
    assert found == ious
    empty = sum(result.union == 0 for result in metric.results)
    assert empty > 10 and sum(iou in THRESHOLDS for iou in ious) > 10
    counts = [(result.intersection, result.union) for result in metric.results]
    metrics = metric.evaluate(CASES)
    assert metrics == pytest.approx(expected, rel=1e-13)
    # The cases tell each rule of the protocol from its opposite.
    exact = summarize(*zip(*counts, strict=True))
    assert all(exact[key] != metrics[key] for key in ('mIoU', 'Pr@0.5', 'Pr@0.6'))


def test_overlaps_are_known_from_the_annotation():
    square, bar = [0, 0, 8, 0, 8, 8, 0, 8], [6, 0, 12, 0, 12, 4, 6, 4]
    overlapping, apart = (
        load((10, 14), [square, other], np.zeros((10, 14), np.uint8))
        for other in (bar, [9, 0, 12, 0, 12, 4, 9, 4])
    )
    shared = overlapping['gt_overlap']['data'][0]
    assert shared.sum() == 8 and shared[:4, 6:8].all()
    assert overlapping['gt_sem_seg']['data'].sum() == 64 + 24 - 8
    assert 'gt_overlap' not in apart
    several = load((10, 14), [square, bar], np.zeros((9, 9), np.uint8), targets=[1, 2])
    assert 'gt_overlap' not in several
    areas = {}
    for name in ('exact', 'released'):
        metric = ReferringIoUMetric(protocol=name)
        overlapping['pred_sem_seg'] = overlapping['pred_input_seg']
        metric.process(None, [overlapping])
        areas[name] = metric.results[0].truth_area
    assert areas == dict(exact=80, released=72)


def test_an_overlap_follows_the_mask_through_transforms():
    square, bar = [0, 0, 8, 0, 8, 8, 0, 8], [6, 0, 12, 0, 12, 4, 6, 4]
    results = dict(
        img=np.zeros((10, 14, 3), np.uint8), img_path='x.png', height=10, width=14,
        segmentation=[square, bar], seg_fields=[], expression='it',
    )  # fmt: skip
    for transform in (
        dict(type='LoadReferringMask'),
        dict(type='mmseg.RandomFlip', prob=1.0),
        dict(type='mmseg.Resize', scale=(28, 20), keep_ratio=False),
        dict(type='PackReferringInputs'),
    ):
        results = TRANSFORMS.build(transform)(results)
    overlap = results['data_samples'].gt_overlap.data
    assert overlap.shape == (1, 20, 28) and overlap.sum() == 4 * 8
    assert overlap[0, :8, 12:16].all()


@pytest.mark.parametrize('side, differing', SAMPLED)
def test_pillow_takes_other_rows_than_the_nearest(side, differing):
    rows = np.arange(side)[:, None].repeat(3, axis=1)
    high, low = (
        resample_truth(part.astype(np.uint8), 480, 3) for part in divmod(rows, 256)
    )
    taken = torch.from_numpy(256 * high[:, 0].astype(int) + low[:, 0])
    values = torch.from_numpy(rows.T[None].astype(np.float32))
    nearest = interpolate(values, 480, mode='nearest-exact')[0, 0]
    assert int((taken != nearest).sum()) == differing


def test_only_empty_unions():
    expected = {'mIoU': 0, 'oIoU': 0, 'Pr@0.5': 0}
    assert summarize([0, 0], [0, 0], [0.5], RELEASED) == expected


def test_the_old_key_is_an_alias_with_a_warning(capsys):
    from mmengine.logging import MMLogger

    MMLogger.get_instance('test_the_old_key')
    metric = METRICS.build(dict(type='ReferringIoUMetric', eval_size='input'))
    assert metric.protocol is RELEASED
    assert "now called protocol='released'" in ''.join(capsys.readouterr())
    assert ReferringIoUMetric(eval_size='original').protocol.name == 'exact'


def test_padded_predictions_are_refused():
    sample = load((10, 10), [[0, 0, 5, 0, 5, 5]], np.zeros((8, 8), np.uint8))
    sample['img_padding_size'] = (0, 2, 0, 0)
    with pytest.raises(ValueError, match="padded or flipped: protocol='released'"):
        ReferringIoUMetric(protocol='released').process(None, [sample])
