# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import shapely
from rasterio.features import shapes
from scipy import ndimage

from mmcadformer.scene.objects import PixelOutlines


@pytest.mark.parametrize('density', [0.1, 0.5, 0.6, 0.9])
def test_labels_are_the_connected_parts(density):
    """With holes, parts in holes, and corners that touch."""
    rng = np.random.default_rng(int(100 * density))
    mask = (rng.random((60, 70)) < density).astype(np.uint8)
    traced = [
        shapely.geometry.shape(outline)
        for outline, _ in shapes(mask, mask=mask, connectivity=4)
    ]
    expected, count = ndimage.label(mask)
    assert len(traced) == count
    # Some of them turned round: rings may run either way.
    polygons = [p if i % 2 else p.reverse() for i, p in enumerate(traced)]
    outlines = PixelOutlines(polygons)
    found = np.concatenate(
        [outlines.labels(row, (rows, 70)) for row, rows in ((0, 13), (13, 1), (14, 46))]
    )
    assert found.dtype == np.int32 and np.array_equal(found > 0, mask > 0)
    pairs = {tuple(pair) for pair in np.stack([found, expected], -1)[mask > 0]}
    assert len(pairs) == count
    for number, polygon in enumerate(polygons, start=1):
        assert (found == number).sum() == polygon.area


def test_nothing_has_no_labels():
    assert not PixelOutlines([]).labels(3, (5, 6)).any()
