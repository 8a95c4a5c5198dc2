# SPDX-License-Identifier: Apache-2.0
import tracemalloc

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

from mmcadformer.scene import Tiling


def test_memory_does_not_grow_with_the_scene(make_scene, utm, segment):
    """Arrays at the same time for 1024 and for 6144 rows."""
    peaks = []
    for height in (1024, 6144):
        picture = np.zeros((height, 256, 3), np.uint8)
        picture[100:-100, 60:180, 0] = 255
        path = make_scene(picture, f'{height}.tif', tiled=True, **utm)
        del picture
        tracemalloc.start()
        (found,) = segment(path, out=str(height), tiling=Tiling((256,))).objects
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.pixels == (height - 200) * 120
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 6144 * 256 * 3 * 2
