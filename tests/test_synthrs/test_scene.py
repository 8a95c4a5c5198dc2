# SPDX-License-Identifier: Apache-2.0
"""Whole scenes."""

from collections import Counter

import numpy as np
import pytest

from mmcadformer.synthrs import (
    make_scene,
)


def test_most_targets_stand_among_candidates(dataset, read):
    instances, refs, _ = read(dataset[1])
    counts = Counter(
        (a['image_id'], a['category_id']) for a in instances['annotations']
    )
    most = Counter()
    for (image_id, _), count in counts.items():
        most[image_id] = max(most[image_id], count)
    crowded = sum(count >= 3 for count in most.values())
    assert crowded >= 0.8 * len(instances['images'])
    among = sum(counts[r['image_id'], r['category_id']] >= 3 for r in refs)
    assert among >= 0.6 * len(refs)


@pytest.mark.parametrize('size', [96, 301])
def test_scenes_scale_with_the_image(size):
    scene = make_scene(np.random.default_rng(1), size)
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8 and scene.image.std() > 10
    assert len(scene.objects) >= 4
    longest = [max(obj.bbox()[2:]) / size for obj in scene.objects]
    assert 0.1 < min(longest) and max(longest) < 0.45
