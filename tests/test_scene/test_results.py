# SPDX-License-Identifier: Apache-2.0
"""Where things end up on the map, against truth that is known beforehand."""

import json
import math

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import pyogrio
import pyproj
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize
from shapely.affinity import affine_transform

from mmcadformer.scene import ObjectFilter, Reading, Tiling, Writing
from mmcadformer.synthrs import draw_objects, random_object

# No object has this colour; it stands out in its first and last channel.
GROUND = (225, 20, 225)
CELL = 240


def is_object(pixels):
    """Probability that a pixel isn't ground."""
    purple = pixels[..., [0, 2]].mean(-1) - pixels[..., 1]
    return 1 / (1 + np.exp((purple - 165) / 5))


def draw_scene(height, width):
    """Courts and tracks on purple ground, with their true outlines in pixels."""
    rng = np.random.default_rng(7)
    noise = rng.integers(-12, 13, (height, width, 3))
    ground = (np.array(GROUND) + noise).clip(0, 255).astype(np.uint8)
    canvas = ground.copy()
    kinds = ('tennis court', 'basketball field', 'ground track field', 'baseball field')
    objects = []
    for number, (row, column) in enumerate(np.ndindex((height // CELL, width // CELL))):
        center = (np.array([column, row]) + 0.5) * CELL + rng.uniform(-12, 12, 2)
        size = rng.uniform(160, 200)
        objects.append(random_object(rng, kinds[number % 4], center, size))
    draw_objects(canvas, objects)
    outlines = [shapely.Polygon(item.polygon()) for item in objects]
    # The brush paints a little over the outline, which is the truth here.
    outside = rasterize(outlines, out_shape=(height, width)) == 0
    canvas[outside] = ground[outside]
    return canvas, outlines


@pytest.fixture
def synthetic(make_scene, utm, segment, network):
    """A scene of known objects, segmented in small tiles."""
    canvas, outlines = draw_scene(730, 980)
    network.answer = lambda pixels, word: is_object(pixels)
    path = make_scene(canvas, tiled=True, compress='deflate', **utm)
    result = segment(path, 'red', tiling=Tiling((160,)))
    return outlines, result


def test_objects_are_whole_exact_and_in_place(synthetic, utm, read, tmp_path):
    outlines, result = synthetic
    mask = read(tmp_path / 'out/scene_01_mask.tif')
    assert np.array_equal(mask, rasterize(outlines, out_shape=mask.shape))
    for file in ('mask', 'probability'):
        with rasterio.open(tmp_path / f'out/scene_01_{file}.tif') as raster:
            assert raster.crs == rasterio.crs.CRS.from_epsg(32633)
            assert raster.transform == utm['transform']
            assert raster.profile['tiled'] and raster.profile['compress'] == 'deflate'
            assert raster.descriptions == ('red',)

    # One polygon per object although most objects cross borders of tiles.
    assert len(result.objects) == len(outlines)
    to_map = utm['transform'].to_shapely()
    for outline in outlines:
        true = affine_transform(outline, to_map)
        found = max(result.objects, key=lambda o: o.polygon.intersection(true).area)
        assert found.polygon.intersection(true).area / true.area > 0.99
        assert found.area == pytest.approx(true.area, rel=0.005)
        assert found.pixels == pytest.approx(outline.area, rel=0.005)
        assert found.polygon.is_valid and 0.9 < found.score <= 1


def test_geojson_follows_rfc_7946(synthetic, utm, tmp_path):
    outlines, result = synthetic
    content = json.loads((tmp_path / 'out/scene.geojson').read_text())
    assert content['type'] == 'FeatureCollection' and 'crs' not in content
    assert len(content['features']) == len(outlines)
    to_earth = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    centers = [
        to_earth.transform(*(utm['transform'] @ outline.centroid.coords[0]))
        for outline in outlines
    ]
    geod = pyproj.Geod(ellps='WGS84')
    for feature, found in zip(content['features'], result.objects, strict=True):
        polygon = shapely.geometry.shape(feature['geometry'])
        assert polygon.is_valid and polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in polygon.interiors)
        assert all(
            round(value, 7) == value
            for point in polygon.exterior.coords
            for value in point
        )
        center = polygon.centroid
        nearest = min(geod.inv(center.x, center.y, *true)[2] for true in centers)
        assert nearest < 0.25  # metres, half a pixel
        properties = feature['properties']
        assert properties['expression'] == 'red'
        assert properties['score'] == pytest.approx(found.score, abs=1e-6)
        area = abs(geod.geometry_area_perimeter(polygon)[0])
        assert properties['area_m2'] == pytest.approx(area, rel=1e-3)


def test_layers_have_the_coordinates_of_the_scene(make_scene, blobs, utm, segment):
    path = make_scene(blobs(60, 70), **utm)
    text = 'red'
    result = segment(
        path, [text, 'blue'], writing=Writing(formats=('gpkg', 'shp', 'geojson'))
    )
    for suffix in ('gpkg', 'shp'):
        file = next(f for f in result.files if f.suffix == f'.{suffix}')
        meta, _, shapes, columns = pyogrio.raw.read(file, layer=0)
        assert pyproj.CRS(meta['crs']).to_epsg() == 32633
        fields = dict(zip(meta['fields'], columns, strict=True))
        assert list(fields['expression']) == [o.expression for o in result.objects]
        assert set(fields['expression']) == {'red', 'blue'}
        assert np.allclose(fields['score'], [o.score for o in result.objects])
        assert np.allclose(
            fields['area_m2'], [o.area for o in result.objects], atol=0.01
        )
        for shape, found in zip(shapely.from_wkb(shapes), result.objects, strict=True):
            assert shape.equals(found.polygon)
    meta, *_ = pyogrio.raw.read(path.parent / 'out/scene.geojson')
    assert pyproj.CRS(meta['crs']).to_epsg() == 4326


def zone_area(west, south, east, north):
    """Area of a rectangle of meridians and parallels on WGS 84, closed form."""
    a, e = 6378137.0, math.sqrt(0.00669437999014)

    def q(latitude):
        s = math.sin(math.radians(latitude))
        return (1 - e * e) * (s / (1 - (e * s) ** 2) + math.atanh(e * s) / e)

    return a * a / 2 * math.radians(east - west) * (q(north) - q(south))


@pytest.mark.parametrize('epsg', [4326, 3857, 32633, 3035])
def test_areas_are_square_metres_in_any_projection(make_scene, segment, epsg):
    """A far northern rectangle, where Mercator and degrees are no measure."""
    bounds = (14.0, 64.98, 14.04, 65.0)
    corners = pyproj.Transformer.from_crs(4326, epsg, always_xy=True).transform_bounds(
        *bounds
    )
    west, south, east, north = corners
    side = (east - west) / 300
    height = round((north - south) / side)
    picture = np.zeros((height, 300, 3), np.uint8)
    picture[20:-30, 50:250, 0] = 255
    place = dict(crs=f'EPSG:{epsg}', transform=Affine(side, 0, west, 0, -side, north))
    (found,) = segment(make_scene(picture, **place)).objects
    share = found.pixels / (300 * height)
    if epsg == 4326:
        left, top, right, bottom = (50, 20, 250, height - 30)
        expected = zone_area(
            14 + left * side, 65 - bottom * side, 14 + right * side, 65 - top * side
        )
        assert found.area == pytest.approx(expected, rel=1e-5)
    elif epsg == 3857:
        expected = zone_area(*bounds) * share
        assert found.area == pytest.approx(expected, rel=2e-3)
        # What the projection itself would say.
        assert found.polygon.area / found.area > 5
    else:
        scale = {32633: 0.9996**2, 3035: 1.0}[epsg]
        assert found.area == pytest.approx(found.polygon.area / scale, rel=1e-3)


def test_rotated_scenes_keep_their_place(make_scene, segment, read, blobs, tmp_path):
    transform = (
        Affine.translation(500000, 6000000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    )
    picture = np.zeros((80, 90, 3), np.uint8)
    picture[20:40, 30:70, 0] = 255
    result = segment(make_scene(picture, crs='EPSG:32633', transform=transform))
    (found,) = result.objects
    expected = affine_transform(shapely.box(30, 20, 70, 40), transform.to_shapely())
    assert found.polygon.normalize().equals_exact(expected.normalize(), 1e-6)
    assert found.area == pytest.approx(20 * 40 * 4 / 0.9996**2, rel=1e-4)
    with rasterio.open(tmp_path / 'out/scene_01_mask.tif') as raster:
        assert raster.transform.almost_equals(transform)


def test_what_crosses_the_antimeridian_is_cut_there(make_scene, segment, tmp_path):
    to_zone = pyproj.Transformer.from_crs(4326, 32601, always_xy=True)
    x, y = to_zone.transform(180, 10)
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[20:40, 10:50, 0] = 255
    place = Affine(10, 0, x - 300, 0, -10, y + 300)
    (found,) = segment(make_scene(picture, crs='EPSG:32601', transform=place)).objects
    content = json.loads((tmp_path / 'out/scene.geojson').read_text())
    geometry = shapely.geometry.shape(content['features'][0]['geometry'])
    assert geometry.geom_type == 'MultiPolygon' and len(geometry.geoms) == 2
    west, east = sorted(geometry.geoms, key=lambda part: part.bounds[0])
    assert west.bounds[0] == -180 and west.bounds[2] < -179.99
    assert east.bounds[2] == 180 and east.bounds[0] > 179.99
    assert all(part.exterior.is_ccw for part in geometry.geoms)
    assert found.area == pytest.approx(20 * 40 * 100, rel=2e-3)


def test_holes_and_corners_are_traced_as_they_are(make_scene, utm, segment):
    rng = np.random.default_rng(3)
    picture = np.zeros((70, 80, 3), np.uint8)
    picture[..., 0] = 255 * (rng.random((70, 80)) < 0.55)
    result = segment(make_scene(picture, **utm), tiling=Tiling((32,)))
    from scipy import ndimage

    _, count = ndimage.label(picture[..., 0])
    assert len(result.objects) == count
    assert sum(o.pixels for o in result.objects) == (picture[..., 0] > 0).sum()
    assert all(o.polygon.is_valid for o in result.objects)
    assert any(o.polygon.interiors for o in result.objects)


def test_small_objects_leave_mask_and_polygons(make_scene, utm, segment, read):
    picture = np.zeros((60, 60, 3), np.uint8)
    for row, size in ((5, 4), (20, 8), (40, 12)):
        picture[row : row + size, 10 : 10 + size, 0] = 255
    path = make_scene(picture, **utm)
    for name, wanted in (
        ('pixels', ObjectFilter(min_pixels=64)),
        ('metres', ObjectFilter(min_area=64 * 0.25)),
    ):
        result = segment(path, out=name, writing=Writing(objects=wanted))
        assert [found.pixels for found in result.objects] == [64, 144]
        assert result.summary['expressions'][0]['objects_too_small'] == 1
        mask = read(path.parent / name / 'scene_01_mask.tif')
        assert mask.sum() == 64 + 144 and mask[:10].sum() == 0


def test_outlines_are_simplified_in_map_units(make_scene, utm, segment):
    rows, columns = np.mgrid[:90, :90]
    picture = np.zeros((90, 90, 3), np.uint8)
    picture[..., 0] = 255 * (np.hypot(rows - 44, columns - 44) < 35)
    path = make_scene(picture, **utm)
    (exact,) = segment(path, out='exact').objects
    rough = Writing(objects=ObjectFilter(simplify=1.0))
    (found,) = segment(path, out='rough', writing=rough).objects
    assert len(found.polygon.exterior.coords) < len(exact.polygon.exterior.coords) / 3
    assert found.polygon.hausdorff_distance(exact.polygon) <= 1.0
    assert found.area == exact.area == pytest.approx(exact.pixels * 0.25, rel=2e-3)


@pytest.mark.parametrize('units', [2.5, 500])
def test_simple_outlines_do_not_cross_themselves(make_scene, utm, segment, units):
    """Nor do objects vanish that are smaller than the tolerance."""
    rng = np.random.default_rng(0)
    picture = np.zeros((120, 130, 3), np.uint8)
    picture[..., 0] = 255 * (rng.random((120, 130)) < 0.6)
    path = make_scene(picture, **utm)
    exact = segment(path, out='exact').objects
    simple = Writing(objects=ObjectFilter(simplify=units), formats=('gpkg',))
    found = segment(path, out='simple', writing=simple).objects
    assert len(found) == len(exact)
    _, _, stored, _ = pyogrio.raw.read(path.parent / 'simple/scene.gpkg', layer=0)
    assert all(shape.is_valid and shape.area for shape in shapely.from_wkb(stored))


@pytest.mark.parametrize(
    'kind, nodata, tolerance',
    [('uint8', 255, 0.002), ('uint16', 65535, 1e-5), ('float32', None, 1e-5)],
)
def test_probabilities_are_stored_with_their_scale(
    make_scene, utm, segment, network, blobs, tmp_path, kind, nodata, tolerance
):
    picture = blobs(40, 50) | 1
    picture[:10] = 0
    path = make_scene(picture, nodata=0, **utm)
    segment(path, writing=Writing(probability=kind))
    with rasterio.open(tmp_path / 'out/scene_01_probability.tif') as raster:
        assert raster.dtypes == (kind,)
        stored = raster.read(1)
        values = stored * raster.scales[0]
        assert (raster.read_masks(1)[:10] == 0).all()
        assert (raster.read_masks(1)[10:] == 255).all()
        missing = np.isnan(stored) if nodata is None else stored == nodata
        assert missing[:10].all() and not missing[10:].any()
    expected = network.answer(picture.astype(np.float32), 'red')
    assert np.abs(values - expected)[10:].max() <= tolerance


def test_nodata_stays_nodata_and_counts_for_nothing(
    make_scene, utm, segment, read, blobs, network, tmp_path
):
    """Even where the colour that fills the holes would be found."""
    picture = blobs(100, 120) | 1
    hole = np.zeros((100, 120), bool)
    hole[:, 60:] = True
    hole[70:, :] = True
    picture[hole] = 0
    network.fill = (255, 0, 0)
    result = segment(make_scene(picture, nodata=0, **utm), tiling=Tiling((32,), 0.5))
    mask = read(tmp_path / 'out/scene_01_mask.tif')
    assert np.array_equal(mask == 255, hole)
    expected = network.answer(picture.astype(np.float32), 'red') > 0.5
    assert np.array_equal(mask[~hole], expected[~hole])
    # Tiles without any data never reach the network.
    assert result.summary['expressions'][0]['tiles'] < 7 * 6


def test_scene_without_any_data_gives_empty_results(
    make_scene, utm, segment, read, network, tmp_path
):
    path = make_scene(np.zeros((70, 70, 3), np.uint8), nodata=0, **utm)
    result = segment(path, writing=Writing(formats=('geojson', 'gpkg', 'shp')))
    assert result.objects == [] and network.calls == 0
    assert (read(tmp_path / 'out/scene_01_mask.tif') == 255).all()
    assert json.loads((tmp_path / 'out/scene.geojson').read_text())['features'] == []
    for suffix in ('gpkg', 'shp'):
        assert (
            pyogrio.read_info(tmp_path / f'out/scene.{suffix}', layer=0)['features']
            == 0
        )


def test_pictures_without_place_give_layers_in_pixels(
    make_scene, segment, read, tmp_path, caplog
):
    picture = np.zeros((50, 60, 3), np.uint8)
    picture[10:20, 30:45, 0] = 255
    path = make_scene(picture, 'photo.png', driver='PNG')
    result = segment(path)
    assert [f.suffix for f in result.files if 'mask' not in f.name] == [
        '.gpkg', '.qml', '.tif', '.json', '.json',
    ]  # fmt: skip
    (found,) = result.objects
    # Rows count downwards, as GIS programs show such pictures.
    assert found.polygon.bounds == (30, -20, 45, -10)
    assert found.area is None and found.pixels == 150
    with pytest.raises(ValueError, match='GeoJSON'):
        segment(path, writing=Writing(formats=('geojson',)))
    located = make_scene(picture, transform=Affine(2, 0, 400000, 0, -2, 5500000))
    result = segment(located, reading=Reading(crs='EPSG:32633'), out='located')
    assert result.objects[0].area == pytest.approx(600, rel=2e-3)
    assert (tmp_path / 'located/scene.geojson').exists()


def test_coordinates_that_are_nowhere_are_refused(make_scene, segment):
    place = dict(crs='EPSG:32633', transform=Affine(1, 0, 1e12, 0, -1, 1e12))
    path = make_scene(np.zeros((9, 9, 3), np.uint8), **place)
    with pytest.raises(ValueError, match='not a place on the earth'):
        segment(path)


@pytest.mark.parametrize(
    'options, word',
    [
        (dict(threshold=1.0), 'threshold'),
        (dict(probability='int8'), 'int8'),
        (dict(formats=('kml',)), 'kml'),
    ],
)
def test_writing_refuses_what_it_cannot(options, word):
    with pytest.raises(ValueError, match=word):
        Writing(**options)


def test_filter_refuses_negative_sizes():
    with pytest.raises(ValueError, match='min_area'):
        ObjectFilter(min_area=-1)
