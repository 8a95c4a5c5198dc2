# SPDX-License-Identifier: Apache-2.0
"""Scenes of the whole world, with pixels that lie beside it."""

import json

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import pyogrio
import pyproj
import shapely
from affine import Affine

from mmcadformer.scene import Writing, vectors

GEOS = '+proj=geos +h=35785831 +lon_0={} +sweep=x +ellps=GRS80'
EARTH = 4 * np.pi * 6371007.18**2  # the sphere of the same surface


def square(size, half):
    """The place of a picture (rows, columns) that reaches half its width each way."""
    height, width = size
    pixel = 2 * half / width
    return Affine(pixel, 0, -half, 0, -pixel, pixel * height / 2)


DISK = dict(crs=GEOS.format(-75), transform=square((120, 120), 5434895))
MOLLWEIDE = dict(crs='ESRI:54009', transform=square((60, 120), 18040096))


def red(height, width, rows=slice(None), columns=slice(None)):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[rows, columns, 0] = 255
    return picture


def read_geojson(file):
    """Shapes by number, after checks that hold for all GeoJSON."""
    shapes = {}
    for feature in json.loads(file.read_text())['features']:
        shape = shapely.geometry.shape(feature['geometry'])
        west, south, east, north = shape.bounds
        assert shape.is_valid and shape.area > 0
        assert -180 <= west < east <= 180 and -90 <= south < north <= 90
        shapes[feature['id']] = shape
    return shapes


def pixels_with_place(place, height, width):
    """Centres of pixels that stand for a place: bool, and their longitude, latitude."""
    to_earth = pyproj.Transformer.from_crs(place['crs'], 4326, always_xy=True)
    rows, columns = np.mgrid[:height, :width] + 0.5
    x, y = place['transform'] @ (columns, rows)
    degrees = to_earth.transform(x, y)
    back = to_earth.transform(*degrees, direction='INVERSE')
    found = np.abs(np.stack(back) - (x, y)).max(axis=0) < 1000
    return found, np.stack(degrees)


@pytest.mark.parametrize('longitude', [-75, 140.7, 180])
def test_an_object_on_the_disk_lies_where_it_is(
    make_scene, segment, tmp_path, longitude
):
    picture = red(120, 120, slice(40, 80), slice(30, 100))
    place = dict(DISK, crs=GEOS.format(longitude))
    (found,) = segment(make_scene(picture, **place)).objects
    (shape,) = read_geojson(tmp_path / 'out/scene.geojson').values()
    area = sum(
        abs(pyproj.Geod(ellps='WGS84').geometry_area_perimeter(part)[0])
        for part in shapely.get_parts(shape)
    )
    assert found.area == pytest.approx(area, rel=1e-4)
    known, degrees = pixels_with_place(place, 120, 120)
    inside = shapely.intersects_xy(shape, *degrees) & known
    assert np.array_equal(inside, picture[..., 0] > 0)


@pytest.mark.parametrize(
    'place, size, share',
    [
        (MOLLWEIDE, (60, 120), 0.96),
        # Equal Earth and the sinusoidal projection give what lies beside the globe
        # a longitude, that of another place.
        (dict(crs='EPSG:8857', transform=square((60, 120), 17243959)), (60, 120), 0.96),
        (
            dict(crs='ESRI:54008', transform=square((60, 120), 20037508)),
            (60, 120),
            0.96,
        ),
        # Cut open in the oceans, by gaps that may be narrower than a pixel.
        (dict(crs='+proj=igh', transform=square((60, 120), 20037508)), (60, 120), 0.93),
        (dict(crs='EPSG:4326', transform=Affine(3, 0, -180, 0, -3, 90)), (60, 120), 1),
    ],
    ids=['mollweide', 'equal-earth', 'sinusoidal', 'goode', 'degrees'],
)
def test_an_object_as_large_as_the_world(
    make_scene, segment, tmp_path, place, size, share
):
    """Pixels that the border of the globe cuts don't count."""
    result = segment(make_scene(red(*size), **place))
    (found,) = result.objects
    assert found.pixels == size[0] * size[1]
    assert share * EARTH < found.area < 1.0001 * EARTH
    (shape,) = read_geojson(tmp_path / 'out/scene.geojson').values()
    assert shape.area > 0.85 * 360 * 180
    _, _, _, columns = pyogrio.raw.read(tmp_path / 'out/scene.gpkg', layer='objects')
    assert columns[3][0] == pytest.approx(found.area, rel=1e-9)


def test_what_lies_beside_the_globe_is_in_the_scene_only(
    make_scene, segment, read, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(vectors, 'warn', said.append)
    picture = red(120, 120, slice(0, 10), slice(0, 10))  # in space
    picture[50:70, 50:70, 0] = 255
    picture[60:62, 100:, 0] = 255  # across the limb
    result = segment(make_scene(picture, **DISK))
    assert np.array_equal(read(tmp_path / 'out/scene_01_mask.tif'), picture[..., 0] > 0)
    space, earth, limb = result.objects
    assert space.area == 0 and limb.area > 0
    assert space.polygon.area == pytest.approx(100 * 90581.58**2, rel=1e-4)
    assert list(read_geojson(tmp_path / 'out/scene.geojson')) == [2, 3]
    assert (
        pyogrio.read_info(tmp_path / 'out/scene.gpkg', layer='objects')['features'] == 3
    )
    (message,) = said
    assert '1 of 3 objects' in message and '1 in part' in message


def test_a_scene_in_space_is_refused(make_scene, segment):
    place = dict(DISK, transform=Affine(100, 0, -5.4e6, 0, -100, 5.4e6))
    with pytest.raises(ValueError, match=r'scene\.tif.*not a place on the earth'):
        segment(make_scene(red(20, 20), **place))


@pytest.mark.parametrize(
    'numbers, word',
    [
        ((np.nan, 0, 400000, 0, -0.5, 5500000), 'not finite'),
        ((0.5, 0, np.nan, 0, -0.5, 5500000), 'not finite'),
        ((np.inf, 0, 400000, 0, -0.5, 5500000), 'not finite'),
        ((0.5, 0, 400000, 0.5, 0, 5500000), 'no area'),
        ((1e-12, 0, 400000, 0, -1e-12, 5500000), 'no area'),
        ((1e200, 0, 0, 0, -1e200, 0), 'no area'),
    ],
)
def test_transforms_that_make_no_polygons_are_named(
    make_scene, segment, network, numbers, word
):
    for crs in ('EPSG:32633', None):
        path = make_scene(red(20, 30), crs=crs, transform=Affine(*numbers))
        with pytest.raises(ValueError, match=rf'scene\.tif: its geotransform .*{word}'):
            segment(path, writing=Writing(formats=('gpkg',)))
    assert network.calls == 0
