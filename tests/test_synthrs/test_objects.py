# SPDX-License-Identifier: Apache-2.0
"""Objects of SynthRS: where they lie, and how they are drawn."""

from collections import defaultdict

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmcadformer.synthrs import (
    CATEGORIES,
    annotate,
    draw_objects,
    random_object,
)


def decode(segmentation, height, width):
    if isinstance(segmentation[0], list):
        segmentation = mask_utils.frPyObjects(segmentation, height, width)
    return mask_utils.decode(mask_utils.merge(segmentation)).astype(bool)


def test_objects_lie_inside_and_apart(dataset, read):
    instances, _, _ = read(dataset[1])
    covered = defaultdict(lambda: 0)
    for ann in instances['annotations']:
        mask = decode(ann['segmentation'], 128, 128)
        covered[ann['image_id']] = covered[ann['image_id']] + mask
        x, y, width, height = ann['bbox']
        rows, columns = np.nonzero(mask)
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert ann['area'] == mask.sum() > 0
        assert not mask[[0, -1]].all() and 0 <= x and x + width <= 128
    assert len(covered) == 54
    assert max(image.max() for image in covered.values()) == 1


@pytest.mark.parametrize('category', CATEGORIES)
@pytest.mark.parametrize('size', [24, 80])
def test_masks_cover_what_is_drawn(category, size):
    height, width = 110, 120
    pixels = [(x + 0.5, y + 0.5) for y in range(height) for x in range(width)]
    rng = np.random.default_rng(size)
    for _ in range(4):
        obj = random_object(rng, category, rng.uniform(54, 60, 2), size)
        masks = [
            decode(annotate(obj, height, width, form)['segmentation'], height, width)
            for form in (True, False)
        ]
        mask = masks[0]
        assert (mask == masks[1]).all()
        outline = obj.polygon().astype(np.float32)
        inside = [cv2.pointPolygonTest(outline, xy, False) >= 0 for xy in pixels]
        inside = np.reshape(inside, mask.shape)
        assert (mask & inside).sum() > 0.94 * (mask | inside).sum()
        # shadows leave black ground black; 50 is half of the darkest paint
        canvas = np.zeros((height, width, 3), np.uint8)
        drawn = draw_objects(canvas, [obj]).max(axis=2) > 50
        assert drawn[mask].mean() > 0.97
        if category not in ('roundabout', 'swimming pool'):  # roads, decks
            overlap = (mask & drawn).sum() / (mask | drawn).sum()
            assert overlap > (0.87 if size == 24 else 0.95)
            near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
            assert not (drawn & ~near).any()


def test_drawing_is_the_same_anywhere_on_a_large_canvas():
    rng = np.random.default_rng(3)
    objects = [
        random_object(rng, category, (60 + 5 * i, 64), 40)
        for i, category in enumerate(CATEGORIES)
    ]
    small = np.full((128, 160, 3), 120, np.uint8)
    draw_objects(small, objects)
    large = np.full((900, 1300, 3), 120, np.uint8)
    for obj in objects:
        obj.center = obj.center[0] + 1000, obj.center[1] + 700
    draw_objects(large, objects)
    assert (small != 120).mean() > 0.1
    np.testing.assert_array_equal(large[700:828, 1000:1160], small)
    large[700:828, 1000:1160] = 120
    assert (large == 120).all()


def test_drawing_over_the_border_is_clipped():
    canvas = np.full((40, 40, 3), 120, np.uint8)
    rng = np.random.default_rng(0)
    draw_objects(
        canvas,
        [
            random_object(rng, 'storage tank', (2, 2), 20),
            random_object(rng, 'storage tank', (500, 2), 20),
        ],
    )
    assert (canvas[:8, :8] != 120).any() and (canvas[30:, 30:] == 120).all()


def test_unknown_category_is_an_error():
    with pytest.raises(ValueError, match='bridge'):
        random_object(np.random.default_rng(0), 'bridge', (0, 0), 10)
