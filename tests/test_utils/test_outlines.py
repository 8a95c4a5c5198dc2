# SPDX-License-Identifier: Apache-2.0
"""Outlines of masks are exact."""

import numpy as np
from pycocotools import mask as mask_utils
from scipy import ndimage

from mmcadformer.utils.outlines import trace_outlines


def test_filled_outlines_give_the_mask_again():
    rng = np.random.default_rng(0)
    holes = 0
    for _ in range(300):
        height, width = (int(value) for value in rng.integers(1, 24, 2))
        noise = ndimage.gaussian_filter(rng.random((height, width)), rng.choice([0, 1]))
        mask = noise > np.quantile(noise, rng.random())
        canvas = np.zeros((height, width), int)
        for corners, is_hole in trace_outlines(mask):
            polygon = [corners.ravel().astype(float).tolist()]
            filled = mask_utils.decode(mask_utils.frPyObjects(polygon, height, width))
            canvas += filled[..., 0].astype(int) * (-1 if is_hole else 1)
            holes += is_hole
        assert np.array_equal(canvas, mask)
    assert holes > 100


def test_corners_are_where_the_outline_turns():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:7] = True
    ((corners, is_hole),) = trace_outlines(mask)
    assert not is_hole
    assert {tuple(c) for c in corners.tolist()} == {(3, 2), (7, 2), (7, 5), (3, 5)}
    assert trace_outlines(np.zeros((4, 4), bool)) == []
