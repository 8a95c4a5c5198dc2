# SPDX-License-Identifier: Apache-2.0
"""NAIP with infrared, and Landsat with empty borders."""

import json

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import pyproj
import rasterio
import shapely

from mmcadformer.scene import ObjectFilter, Reading, Tiling, Writing


@pytest.mark.parametrize(
    'name, bands',
    [('naip_pembina_2015', (4, 1, 2)), ('naip_pembina_2020', None),
     ('landsat7_rgb', None)],
)  # fmt: skip
def test_results_lie_on_the_scene(
    imagery, segment, network, read, tmp_path, name, bands
):
    path = imagery / 'scenes' / f'{name}.tif'
    with rasterio.open(path) as scene:
        chosen = bands or (1, 2, 3)
        pixels = scene.read(chosen).transpose(1, 2, 0).astype(np.float32)
        missing = (scene.read() == scene.nodata).all(axis=0)
        place = (scene.crs, scene.transform)
        to_earth = pyproj.Transformer.from_crs(scene.crs, 4326, always_xy=True)
        west, south, east, north = to_earth.transform_bounds(*scene.bounds)
    result = segment(
        path,
        'red',
        tiling=Tiling((400,)),
        reading=Reading(bands=bands),
        writing=Writing(objects=ObjectFilter(min_pixels=50)),
    )
    with rasterio.open(tmp_path / f'out/{name}_01_mask.tif') as raster:
        mask = raster.read(1)
        assert (raster.crs, raster.transform) == place
    assert np.array_equal(mask == 255, missing)
    expected = network.answer(pixels, 'red') > 0.5
    assert not (mask == 1)[~expected].any()
    assert (mask == 1).sum() == sum(o.pixels for o in result.objects) > 0

    features = json.loads((tmp_path / f'out/{name}.geojson').read_text())['features']
    assert len(features) == len(result.objects)
    frame = shapely.box(west, south, east, north).buffer(1e-6)
    for feature, found in zip(features, result.objects, strict=True):
        polygon = shapely.geometry.shape(feature['geometry'])
        assert polygon.is_valid and frame.contains(polygon)
        # The projection's scale is off by less than a percent here.
        assert found.area == pytest.approx(found.polygon.area, rel=0.01)
