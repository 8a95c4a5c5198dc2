# SPDX-License-Identifier: Apache-2.0
"""Where longitudes jump, latitudes end, and degrees are no degrees."""

import json

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import pyogrio
import pyproj
import rasterio
import shapely
from affine import Affine
from rasterio.features import shapes

from mmcadformer.scene import Georeference

GEOD = pyproj.Geod(ellps='WGS84')


def picture(height, width, *holes):
    """A red object around which a border stays free, with holes (rows, columns)."""
    red = np.zeros((height, width, 3), np.uint8)
    red[10:-10, 10:-10, 0] = 255
    for rows, columns in holes:
        red[slice(*rows), slice(*columns)] = 0
    return red


def geojson_parts(file):
    """Polygons of the only feature, after checks that hold for all GeoJSON."""

    def refuse(constant):
        raise AssertionError(f'{constant} is not JSON')

    content = json.loads(file.read_text(), parse_constant=refuse)
    (feature,) = content['features']
    shape = shapely.geometry.shape(feature['geometry'])
    west, south, east, north = shape.bounds
    assert shape.is_valid
    assert -180 <= west < east <= 180 and -90 <= south < north <= 90
    parts = shapely.get_parts(shape).tolist()
    for part in parts:
        assert part.exterior.is_ccw
        assert not any(ring.is_ccw for ring in part.interiors)
    return parts


def area_of(parts):
    return sum(abs(GEOD.geometry_area_perimeter(part)[0]) for part in parts)


def area_of_pixels(mask, crs, transform):
    """Square metres, pixel by pixel."""
    to_earth = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    total = 0
    for row, column in zip(*np.nonzero(mask), strict=True):
        corners = [(column, row), (column + 1, row), (column + 1, row + 1)]
        corners = [transform @ corner for corner in [*corners, (column, row + 1)]]
        degrees = to_earth.transform(*zip(*corners, strict=True))
        total += abs(GEOD.polygon_area_perimeter(*degrees)[0])
    return total


@pytest.mark.parametrize('west', [178.0, -182.0, 538.0])
def test_degrees_may_go_on_beyond_180(make_scene, segment, tmp_path, west):
    place = dict(crs='EPSG:4326', transform=Affine(0.05, 0, west, 0, -0.05, 10))
    (found,) = segment(make_scene(picture(60, 80), **place)).objects
    assert found.polygon.bounds == pytest.approx((west + 0.5, 7.5, west + 3.5, 9.5))
    parts = geojson_parts(tmp_path / 'out/scene.geojson')
    bounds = sorted(part.bounds for part in parts)
    assert bounds == [(-180, 7.5, -178.5, 9.5), (178.5, 7.5, 180, 9.5)]
    assert found.area == pytest.approx(area_of(parts), rel=1e-3)


def test_a_hole_is_no_area_where_its_outline_crosses_180(make_scene, segment, tmp_path):
    red = picture(80, 80, ((20, 30), (20, 30)), ((30, 50), (60, 66)))
    x, y = pyproj.Transformer.from_crs(4326, 32601, always_xy=True).transform(180, 10)
    place = Affine(10, 0, x - 400, 0, -10, y + 400)
    (found,) = segment(make_scene(red, crs='EPSG:32601', transform=place)).objects
    assert found.area == pytest.approx(area_of_pixels(red[..., 0], 32601, place), 1e-6)
    parts = geojson_parts(tmp_path / 'out/scene.geojson')
    assert sorted(len(part.interiors) for part in parts) == [1, 1]
    assert area_of(parts) == pytest.approx(found.area, rel=1e-4)


@pytest.mark.parametrize(
    'epsg, place',
    [
        (4326, Affine(0.05, 0, 179.6, 0, -0.05, 10)),
        (4326, Affine(0.05, 0, -180.4, 0, -0.05, 10)),
        (32601, Affine(10, 0, 171071 - 80, 0, -10, 1106896 + 80)),
    ],
)
def test_holes_at_180_are_cut_as_they_are(epsg, place):
    """Those that touch the meridian, cross it, or lie in a part that it cuts off."""
    rng = np.random.default_rng(0)
    where = Georeference(rasterio.crs.CRS.from_epsg(epsg), place, 16, 16)
    cut = 0
    for _ in range(20):
        mask = np.pad((rng.random((14, 14)) < 0.8).astype(np.uint8), 1)
        for outline, _ in shapes(mask, mask=mask, connectivity=4, transform=place):
            polygon = shapely.geometry.shape(outline)
            shape = where.to_wgs84(polygon)
            parts = shapely.get_parts(shape)
            cut += len(parts) > 1
            assert shape.is_valid
            assert area_of(parts) == pytest.approx(where.area(polygon), rel=1e-3)
    assert cut > 10


@pytest.mark.parametrize(
    'holes',
    [
        (),
        (((13, 15), (12, 28)), ((22, 25), (12, 14))),
        (((17, 23), (17, 23)),),  # around the pole
        (((17, 20), (15, 25)),),  # touches it
        (((10, 20), (10, 30)),),  # the outline goes through it
        (((10, 20), (10, 20)),),  # and has a corner there
    ],
)
@pytest.mark.parametrize('epsg', [3413, 3031])
def test_objects_at_the_poles(make_scene, segment, tmp_path, epsg, holes):
    red = picture(40, 40, *holes)
    place = Affine(2000, 0, -40000, 0, -2000, 40000)
    (found,) = segment(make_scene(red, crs=f'EPSG:{epsg}', transform=place)).objects
    area = area_of_pixels(red[..., 0], epsg, place)
    assert found.area == pytest.approx(area, rel=1e-6)
    parts = geojson_parts(tmp_path / 'out/scene.geojson')
    assert area_of(parts) == pytest.approx(area, rel=1e-5)
    # The very same pixels, looked at from the other side.
    to_map = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    rows, columns = np.mgrid[:40, :40] + 0.5
    x, y = place @ (columns, rows)
    shape = shapely.MultiPolygon(parts)
    degrees = to_map.transform(x, y, direction='INVERSE')
    assert np.array_equal(shapely.intersects_xy(shape, *degrees), red[..., 0] > 0)


def test_the_whole_turn_is_one_object(make_scene, segment, tmp_path):
    red = np.zeros((18, 72, 3), np.uint8)
    red[:9, :, 0] = 255
    place = dict(crs='EPSG:4326', transform=Affine(5, 0, -180, 0, -10, 90))
    (found,) = segment(make_scene(red, **place)).objects
    half = 2 * np.pi * 6371007.18**2  # the sphere of the same surface
    assert found.area == pytest.approx(half, rel=1e-6)
    (part,) = geojson_parts(tmp_path / 'out/scene.geojson')
    assert part.bounds == (-180, 0, 180, 90)


def test_half_a_pixel_beyond_the_pole_is_none(make_scene, segment, tmp_path):
    """As in grids that count from the centres of pixels."""
    red = np.zeros((40, 60, 3), np.uint8)
    red[:20, 10:50, 0] = 255
    beyond = make_scene(red, crs='EPSG:4326', transform=Affine(1, 0, 0, 0, -1, 90.5))
    (found,) = segment(beyond).objects
    (part,) = geojson_parts(tmp_path / 'out/scene.geojson')
    assert part.bounds == (10, 70.5, 50, 90)
    assert found.area == pytest.approx(area_of([part]), rel=1e-6)
    _, _, _, columns = pyogrio.raw.read(tmp_path / 'out/scene.gpkg', layer='objects')
    assert found.area == pytest.approx(columns[3][0], abs=0.01)

    far = make_scene(red, crs='EPSG:4326', transform=Affine(1, 0, 0, 0, -1, 95))
    with pytest.raises(ValueError, match='not a place on the earth'):
        segment(far)


@pytest.mark.parametrize(
    'epsg, place',
    [
        (27572, Affine(10, 0, 600000, 0, -10, 2200000)),
        (4807, Affine(0.001, 0, 2, 0, -0.001, 54)),
    ],
)
def test_systems_that_count_in_grads(make_scene, segment, tmp_path, epsg, place):
    path = make_scene(picture(40, 80), crs=f'EPSG:{epsg}', transform=place)
    (found,) = segment(path).objects
    parts = geojson_parts(tmp_path / 'out/scene.geojson')
    assert found.area == pytest.approx(area_of(parts), rel=1e-4)


def test_other_bodies_are_not_on_earth(make_scene, segment):
    place = dict(crs='ESRI:104903', transform=Affine(0.001, 0, 2, 0, -0.001, 54))
    result = segment(make_scene(picture(40, 80), **place))
    (found,) = result.objects
    assert found.area is None
    assert {f.suffix for f in result.files} == {'.gpkg', '.qml', '.tif', '.json'}
    assert found.polygon.bounds == pytest.approx((2.01, 53.97, 2.07, 53.99))
