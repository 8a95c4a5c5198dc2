# SPDX-License-Identifier: Apache-2.0
"""A model, and a picture that isn't square."""

import cv2
import numpy as np
import pytest
from matplotlib.path import Path as Ring


@pytest.fixture(scope='session')
def demo_rgb(tiny_data):
    """RGB (60, 72, 3)."""
    path = sorted((tiny_data / 'images/synthrs/JPEGImages').glob('*test*'))[0]
    return np.ascontiguousarray(cv2.imread(str(path))[6:66, :, ::-1])


@pytest.fixture(scope='session')
def demo_models(tiny_config, tiny_checkpoint):
    """The model as the page has it."""
    from mmcadformer.demo.models import load_models
    from mmcadformer.demo.sources import ModelSource

    return load_models([ModelSource(tiny_config, tiny_checkpoint)], 'cpu')


@pytest.fixture(scope='session')
def write_geotiff():
    """Writes bands (N, H, W) with coordinates; skips without the geo extra."""
    rasterio = pytest.importorskip('rasterio', reason='needs the geo extra')
    for name in ('shapely', 'pyogrio', 'pyproj'):
        pytest.importorskip(name, reason='needs the geo extra')

    def write(path, bands, **profile):
        place = dict(
            crs='EPSG:32614',
            transform=rasterio.transform.from_origin(601_000, 3_912_000, 0.5, 0.5),
        )
        count, height, width = bands.shape
        with rasterio.open(
            path,
            'w',
            driver='GTiff',
            count=count,
            height=height,
            width=width,
            dtype=bands.dtype,
            **{**place, **profile},
        ) as file:
            file.write(bands)
        return path

    return write


@pytest.fixture(scope='session')
def fill():
    """From rings (x, y) to the pixels whose centres lie in an odd number of them."""

    def fill_rings(rings, shape):
        rows, columns = np.indices(shape)
        centres = np.column_stack([columns.ravel(), rows.ravel()]) + 0.5
        inside = np.zeros(len(centres), bool)
        for ring in rings:
            assert ring[0] == ring[-1]
            inside ^= Ring(ring).contains_points(centres)
        return inside.reshape(shape)

    return fill_rings
