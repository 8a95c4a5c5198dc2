# SPDX-License-Identifier: Apache-2.0
"""SmoothResize gives what Resize by Pillow gives."""

import numpy as np
import pytest
from mmseg.registry import TRANSFORMS

import mmcadformer  # noqa: F401  (registers)


def both(height, width, **how):
    """The same sample by the host's Resize and by ours."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = (rng.random((height, width)) < 0.3).astype(np.uint8)
    # As pictures of rasters come: views that run backwards.
    sample = dict(img=picture[..., ::-1], gt_seg_map=mask, seg_fields=['gt_seg_map'])
    steps = [dict(type='Resize', backend='pillow', **how)]
    steps += [dict(type='SmoothResize', **how)]
    return [TRANSFORMS.build(step)(dict(sample)) for step in steps]


@pytest.mark.parametrize('side', [800, 480, 240, 96])
def test_pixels_are_those_of_pillow_where_sizes_have_simple_ratios(side):
    expected, found = both(side, side, scale=(480, 480), keep_ratio=False)
    assert np.array_equal(expected['img'], found['img'])


@pytest.mark.parametrize('size', [(1024, 1024), (333, 500), (1300, 700), (512, 512)])
@pytest.mark.parametrize('keep_ratio', [False, True])
def test_elsewhere_few_differ_and_by_one(size, keep_ratio):
    expected, found = both(*size, scale=(480, 400), keep_ratio=keep_ratio)
    picture = found.pop('img')
    assert picture.dtype == np.uint8 and picture.shape[:2] == found['img_shape']
    difference = np.abs(picture.astype(int) - expected.pop('img'))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.03
    assert np.array_equal(found.pop('gt_seg_map'), expected.pop('gt_seg_map'))
    assert found == expected  # shapes and factors
