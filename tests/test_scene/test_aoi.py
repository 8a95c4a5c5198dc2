# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import pyogrio
import pyproj
import shapely
from affine import Affine
from shapely.affinity import affine_transform

from mmcadformer.scene import Tiling


@pytest.fixture
def write_area(tmp_path, utm):
    """Writes polygons in pixel coordinates as GeoJSON in longitude and latitude."""

    def write(*shapes, name='area.geojson', crs=4326):
        to_crs = pyproj.Transformer.from_crs(32633, crs, always_xy=True)
        moved = [
            shapely.transform(
                affine_transform(shape, utm['transform'].to_shapely()),
                to_crs.transform,
                interleaved=False,
            )
            for shape in shapes
        ]
        file = tmp_path / name
        if name.endswith('.geojson'):
            features = [
                dict(
                    type='Feature',
                    properties={},
                    geometry=shapely.geometry.mapping(shape),
                )
                for shape in moved
            ]
            content = dict(type='FeatureCollection', features=features)
            file.write_text(json.dumps(content))
        else:
            pyogrio.raw.write(
                str(file),
                shapely.to_wkb(np.array(moved, dtype=object)),
                [],
                [],
                geometry_type='Unknown',
                crs=f'EPSG:{crs}',
            )
        return file

    return write


@pytest.mark.parametrize('name, crs', [('a.geojson', 4326), ('a.gpkg', 3857)])
def test_only_the_area_is_looked_at(
    make_scene, blobs, utm, segment, read, network, write_area, tmp_path, name, crs
):
    picture = blobs(300, 320)
    path = make_scene(picture, **utm)
    triangle = shapely.Polygon([(20.3, 31.6), (130.2, 40.4), (60.7, 140.9)])
    area = write_area(triangle, name=name, crs=crs)
    result = segment(path, aoi=area, tiling=Tiling((32,)))
    rows, columns = np.mgrid[:300, :320] + 0.5
    inside = shapely.contains_xy(triangle, columns, rows)
    mask = read(tmp_path / 'out/scene_01_mask.tif')
    assert np.array_equal(mask != 255, inside)
    expected = network.answer(picture.astype(np.float32), 'red') > 0.5
    assert np.array_equal(mask[inside], expected[inside])
    tiles = result.summary['expressions'][0]['tiles']
    assert tiles < 45  # of 13 x 14, those that touch the triangle


def test_an_area_may_stick_out_and_have_parts(
    make_scene, blobs, utm, segment, read, write_area, tmp_path
):
    path = make_scene(blobs(100, 100), **utm)
    area = write_area(
        shapely.box(-50, -50, 30, 20),
        shapely.Point(50, 50),
        shapely.box(80, 70, 90, 400),
    )
    segment(path, aoi=area)
    expected = np.zeros((100, 100), bool)
    expected[:20, :30] = expected[70:, 80:90] = True
    assert np.array_equal(read(tmp_path / 'out/scene_01_mask.tif') != 255, expected)


def test_useless_areas_are_named(make_scene, blobs, utm, segment, write_area, tmp_path):
    path = make_scene(blobs(40, 40), **utm)
    with pytest.raises(FileNotFoundError, match='nowhere.gpkg'):
        segment(path, aoi=tmp_path / 'nowhere.gpkg')
    text = tmp_path / 'text.geojson'
    text.write_text('{"type": "nothing"')
    with pytest.raises(ValueError, match='text.geojson.*not a vector file'):
        segment(path, aoi=text)
    with pytest.raises(ValueError, match='no area'):
        segment(path, aoi=write_area(name='empty.geojson'))
    flat = shapely.Polygon([(1, 1), (9, 9), (1, 1)])
    with pytest.raises(ValueError, match='no area'):
        segment(path, aoi=write_area(flat, shapely.Point(3, 3), name='flat.geojson'))
    with pytest.raises(ValueError, match='outside the scene'):
        segment(path, aoi=write_area(shapely.box(900, 0, 950, 9), name='far.geojson'))
    assert not (tmp_path / 'out').exists()


def test_areas_that_touch_a_window_from_outside_count_for_nothing_in_it(
    make_scene, blobs, utm, segment, read, write_area, tmp_path
):
    """Along the upper border of strips and tiles, beside areas inside them."""
    path = make_scene(blobs(600, 100), **utm)
    boxes = [shapely.box(10, 400, 90, 512), shapely.box(20, 550, 80, 560)]
    segment(path, aoi=write_area(*boxes, name='a.gpkg', crs=32633))
    expected = np.zeros((600, 100), bool)
    expected[400:512, 10:90] = expected[550:560, 20:80] = True
    assert np.array_equal(read(tmp_path / 'out/scene_01_mask.tif') != 255, expected)


def test_areas_may_reach_around_the_earth(
    make_scene, blobs, utm, segment, read, write_area, tmp_path
):
    """Where UTM, the system of the scene, has no sensible coordinates."""
    path = make_scene(blobs(40, 50), **utm)
    world = tmp_path / 'world.geojson'
    world.write_text(
        json.dumps(shapely.geometry.mapping(shapely.box(-180, -90, 180, 90)))
    )
    segment(path, aoi=world)
    assert (read(tmp_path / 'out/scene_01_mask.tif') != 255).all()


@pytest.mark.parametrize('west', [178, -182])
def test_areas_on_both_sides_of_the_antimeridian(
    make_scene, blobs, segment, read, tmp_path, west
):
    place = dict(crs='EPSG:4326', transform=Affine(0.05, 0, west, 0, -0.05, 10))
    path = make_scene(blobs(60, 80), **place)
    boxes = [shapely.box(179, 8, 180, 9), shapely.box(-180, 8, -179, 9)]
    area = tmp_path / 'area.geojson'
    area.write_text(shapely.to_geojson(shapely.MultiPolygon(boxes)))
    segment(path, aoi=area)
    expected = np.zeros((60, 80), bool)
    expected[20:40, 20:60] = True
    assert np.array_equal(read(tmp_path / 'out/scene_01_mask.tif') != 255, expected)


def test_the_first_layer_with_shapes_counts_or_the_named_one(
    make_scene, blobs, utm, segment, read, tmp_path
):
    """Programs keep tables of styles in the same file."""
    path = make_scene(blobs(40, 50), **utm)
    area = tmp_path / 'areas.gpkg'
    pyogrio.raw.write(
        area, None, [np.array(['red'], object)], ['style'], geometry_type=None,
        layer='styles',
    )  # fmt: skip
    for name, side in (('first', 20), ('second', 30)):
        box = affine_transform(
            shapely.box(0, 0, side, side), utm['transform'].to_shapely()
        )
        pyogrio.raw.write(
            area, shapely.to_wkb(np.array([box], object)), [], [], crs=utm['crs'],
            geometry_type='Polygon', layer=name,
        )  # fmt: skip
    segment(path, aoi=area)
    assert (read(tmp_path / 'out/scene_01_mask.tif') != 255).sum() == 20 * 20
    segment(path, aoi=area, aoi_layer='second')
    assert (read(tmp_path / 'out/scene_01_mask.tif') != 255).sum() == 30 * 30
    for layer in ('third', 'styles'):
        with pytest.raises(ValueError, match=f"no layer '{layer}'.*only first, second"):
            segment(path, aoi=area, aoi_layer=layer)


def test_coordinates_that_are_no_numbers_are_named(make_scene, utm, segment, tmp_path):
    area = tmp_path / 'area.geojson'
    ring = [[15, 50], [16, 50], [float('inf'), 51], [15, 50]]
    area.write_text(json.dumps(dict(type='Polygon', coordinates=[ring])))
    path = make_scene(np.zeros((40, 50, 3), np.uint8), **utm)
    with pytest.raises(ValueError, match='area.geojson'):
        segment(path, aoi=area)
