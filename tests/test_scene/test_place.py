# SPDX-License-Identifier: Apache-2.0
"""How scenes tell where they lie: points, coefficients, world files, parts of files."""

import json
import os
import shutil

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import pyproj
import rasterio
import rasterio.shutil
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.vrt import WarpedVRT

from mmcadformer.scene import Reading, SceneReader, Writing, reader

pytestmark = pytest.mark.filterwarnings(
    'ignore::rasterio.errors.NotGeoreferencedWarning'
)
PLAIN = Affine(0.5, 0, 400000, 0, -0.5, 5500000)
WARP = Reading(warp=True)


@pytest.fixture
def picture():
    red = np.full((120, 160, 3), 100, np.uint8)
    red[30:60, 80:120] = (255, 0, 0)
    return red


def points(crs, transform, height=120, width=160):
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    places = [transform @ (column, row) for row, column in corners]
    pairs = zip(corners, places, strict=True)
    return [GroundControlPoint(*corner, *place) for corner, place in pairs], crs


def rpcs(scale=1):
    """Columns run east and rows south, 0.01 degrees to 80 and 60 of them."""
    one, line, sample = ([0.0] * 20 for _ in range(3))
    one[0], line[2], sample[1] = scale, -scale, scale
    return RPC(
        height_off=0, height_scale=100, lat_off=49, lat_scale=0.01, long_off=12,
        long_scale=0.01, line_off=60, line_scale=60, samp_off=80, samp_scale=80,
        line_num_coeff=line, line_den_coeff=one, samp_num_coeff=sample,
        samp_den_coeff=one, err_bias=0, err_rand=0,
    )  # fmt: skip


@pytest.fixture
def by_points(make_scene, picture):
    def make(extra=None, name='scene.tif', **about):
        pixels = picture if extra is None else np.dstack([picture, extra])
        path = make_scene(pixels, name)
        with rasterio.open(path, 'r+') as file:
            for key, value in about.items():
                setattr(file, key, value)
        return path

    return make


@pytest.mark.parametrize(
    'about, word',
    [
        (dict(gcps=points('EPSG:32633', PLAIN)), 'ground control points'),
        (dict(rpcs=rpcs()), 'coefficients (RPC)'),
    ],
)
def test_without_warping_results_lie_in_pixels_and_it_is_said(
    by_points, segment, monkeypatch, about, word
):
    said = []
    monkeypatch.setattr(reader, 'warn', said.append)
    (found,) = segment(by_points(**about), writing=Writing(formats=('gpkg',))).objects
    assert found.polygon.bounds == (80, -60, 120, -30) and found.area is None
    with SceneReader(by_points(**about)) as scene:
        notes = ' '.join(scene.notes)
    assert 'in pixels' in notes and 'in pixels' in ' '.join(said)
    assert word in notes


def test_control_points_of_a_map_warp_to_that_map(by_points, segment, read, tmp_path):
    path = by_points(gcps=points('EPSG:32633', PLAIN))
    result = segment(path, reading=WARP)
    (found,) = result.objects
    west, south, east, north = 400040, 5499970, 400060, 5499985
    assert found.polygon.bounds == pytest.approx((west, south, east, north), abs=0.6)
    with rasterio.open(tmp_path / 'out/scene_01_mask.tif') as mask:
        assert mask.crs == 'EPSG:32633' and mask.transform.a == pytest.approx(0.5)
    assert (tmp_path / 'out/scene.geojson').exists()


@pytest.mark.parametrize('by', ['rpcs', 'points in degrees'])
def test_degrees_warp_to_utm(by_points, segment, tmp_path, by):
    """There a pixel is as high as wide; what it doesn't reach has no data."""
    degrees = Affine(0.02 / 160, 0, 11.99, 0, -0.02 / 120, 49.01)
    about = dict(gcps=points('EPSG:4326', degrees))
    if by == 'rpcs':
        about = dict(rpcs=rpcs())
    (found,) = segment(by_points(**about), reading=WARP).objects
    with rasterio.open(tmp_path / 'out/scene_01_mask.tif') as mask:
        assert mask.crs.to_epsg() in (32632, 32633)
        pixel = mask.transform.a
        assert pixel == pytest.approx(-mask.transform.e)
        values = mask.read(1)
        assert 0.02 < (values == 255).mean() < 0.15
        to_map = pyproj.Transformer.from_crs(4326, mask.crs, always_xy=True)
    corner = degrees @ (80, 30), degrees @ (120, 60)
    x, y = to_map.transform(*np.transpose([np.mean(corner, axis=0)]))
    middle = found.polygon.centroid
    assert np.hypot(middle.x - x, middle.y - y) < pixel
    (_, _, width), (_, _, height) = (
        pyproj.Geod(ellps='WGS84').inv(*corner[0], *end)
        for end in ((corner[1][0], corner[0][1]), (corner[0][0], corner[1][1]))
    )
    assert found.area == pytest.approx(width * height, rel=0.05)


def test_points_may_go_on_beyond_the_180th_meridian(by_points, segment, tmp_path):
    found = []
    for name, west in (('plain', 11.99), ('across', 179.99)):
        degrees = Affine(0.02 / 160, 0, west, 0, -0.02 / 120, 49.01)
        path = by_points(name=f'{name}.tif', gcps=points('EPSG:4326', degrees))
        found += segment(path, reading=WARP).objects
    plain, across = found
    assert across.area == pytest.approx(plain.area, rel=0.01)
    item = json.loads((tmp_path / 'out/across_stac.json').read_text())
    west, _, east, _ = item['bbox']
    assert 179.98 < west < 180 and -180 < east < -179.98


@pytest.mark.parametrize(
    'about, reason',
    [
        (
            dict(gcps=(points('EPSG:32633', PLAIN)[0][:2], 'EPSG:32633')),
            'enough points',
        ),
        (dict(gcps=points('EPSG:32633', Affine(0, 0, 4e5, 0, 0, 5e6))), 'not solvable'),
        (dict(gcps=points('EPSG:4326', Affine(0, 0, 12, 0, 0, 49))), 'not solvable'),
        (dict(gcps=points('EPSG:4326', Affine(1, 0, 0, 0, -1, 999))), 'cannot be put'),
        (dict(gcps=points('EPSG:4326', Affine(np.nan, 0, 0, 0, 1, 0))), 'not finite'),
        (dict(rpcs=rpcs(scale=0)), 'failed to transform'),
    ],
)
def test_what_gives_no_map_is_named(by_points, about, reason):
    path = by_points(**about)
    with pytest.raises(ValueError, match=rf'scene\.tif.*{reason}.*leave --warp out'):
        SceneReader(path, WARP)


def test_a_tagged_infrared_band_is_no_opacity_when_warped(by_points):
    """Zeros in it would be holes."""
    infrared = np.linspace(0, 200, 120 * 160).reshape(120, 160).astype(np.uint8)
    infrared[20:40, 20:40] = 0
    about = dict(gcps=points('EPSG:32633', PLAIN))
    with rasterio.open(by_points(infrared, **about)) as file:
        assert file.colorinterp[3].name == 'alpha'
    opacity = np.where(infrared > 20, 255, 0).astype(np.uint8)
    shares = []
    for extra in (infrared, opacity):
        path = by_points(extra, f'{extra.max()}.tif', **about)
        with SceneReader(path, WARP) as scene:
            valid = scene.read_valid(0, 0, scene.height, scene.width)
            shares.append(valid.mean())
    assert shares[0] > 0.95
    assert shares[1] == pytest.approx((opacity > 0).mean(), abs=0.02)


def test_warping_needs_points_and_their_system(by_points, make_scene, picture):
    with pytest.raises(ValueError, match=r'plain\.tif has neither control points'):
        SceneReader(make_scene(picture, 'plain.tif'), WARP)
    unknown = by_points(gcps=points(rasterio.crs.CRS(), PLAIN))
    with pytest.raises(ValueError, match=r'scene\.tif.*no coordinate system.*--crs'):
        SceneReader(unknown, WARP)
    with SceneReader(unknown, Reading(crs='EPSG:32633', warp=True)) as scene:
        assert scene.crs == 'EPSG:32633'
    located = make_scene(picture, 'located.tif', crs='EPSG:32633', transform=PLAIN)
    with SceneReader(located, WARP) as scene:
        assert scene.transform == PLAIN and not scene.notes


def test_a_vrt_names_the_source_that_has_gone(make_scene, picture, utm, tmp_path):
    """Whether it warps, or is a mosaic, or a VRT of a VRT; before any time is lost."""
    source = make_scene(picture, 'source.tif', **utm)
    mosaic, warp, outer = (tmp_path / f'{n}.vrt' for n in ('mosaic', 'warp', 'outer'))
    rasterio.shutil.copy(source, mosaic, driver='VRT')
    with rasterio.open(source) as file, WarpedVRT(file, crs='EPSG:4326') as warped:
        rasterio.shutil.copy(warped, warp, driver='VRT')
    rasterio.shutil.copy(mosaic, outer, driver='VRT')
    for path in (mosaic, warp, outer):
        with SceneReader(path):
            pass
    source.unlink()
    for path in (mosaic, warp, outer):
        with pytest.raises(ValueError, match=rf'{path.name} .*source\.tif.*not there'):
            SceneReader(path)


@pytest.mark.parametrize(
    'kind, world', [('png', 'pgw'), ('jpg', 'jgw'), ('tif', 'tfw')]
)
@pytest.mark.parametrize('version', ['WKT1_ESRI', 'WKT1_GDAL'])
def test_world_files_and_their_projection(
    segment, tmp_path, picture, kind, world, version
):
    path = tmp_path / f'scene.{kind}'
    Image.fromarray(picture).save(path, **(dict(quality=100) if kind == 'jpg' else {}))
    center = 400000.25, 5499999.75
    numbers = (0.5, 0, 0, -0.5, *center)
    path.with_suffix(f'.{world}').write_text('\n'.join(map(str, numbers)))
    projection = path.with_suffix('.prj')
    projection.write_text(pyproj.CRS(32633).to_wkt(version))
    result = segment(path)
    found = max(result.objects, key=lambda item: item.pixels)
    assert found.polygon.bounds == pytest.approx(
        (400040, 5499970, 400060, 5499985), abs=1
    )
    assert found.area == pytest.approx(300, rel=0.15)  # of JPEG, with a halo
    with SceneReader(path) as scene:
        assert scene.crs.to_epsg() == 32633
        assert str(projection) in scene.files()
    projection.write_text('Projection UTM\nZone 33')
    with pytest.raises(ValueError, match=r'scene\.prj is not a coordinate system'):
        segment(path, out='other')


def test_parts_of_a_file_have_names_of_their_own(
    segment, tmp_path, picture, monkeypatch
):
    """Without characters that GDAL takes for a prefix, or Windows refuses."""
    first, second = (Image.fromarray(part) for part in (picture, picture[::-1]))
    first.save(tmp_path / 'two.tif', save_all=True, append_images=[second])
    monkeypatch.chdir(tmp_path)
    objects = {}
    for scene, reading in (
        ('two.tif', None),
        ('GTIFF_DIR:2:two.tif', None),
        ('two.tif', Reading(subdataset=1)),
    ):
        result = segment(scene, out='out', reading=reading)
        objects[result.files[-1].name] = result.objects[0].polygon.bounds
    assert objects == {
        'two.json': (80, -60, 120, -30),
        'two_2.json': (80, -90, 120, -60),
        'two_1.json': (80, -60, 120, -30),
    }
    assert not [name for name in os.listdir('out') if set(name) & set(':"*?<>|\\')]
    # Another page under that name isn't replaced.
    shutil.copy('two.tif', 'two_2.tif')
    with pytest.raises(ValueError, match='another output folder'):
        segment('two_2.tif', out='out')


@pytest.mark.skipif(os.name == 'nt', reason='Windows has no such names')
@pytest.mark.parametrize(
    'name, stem', [('a:b?.tif', 'a_b'), ('aux.tif', 'aux_'), ('x<1>.tif', 'x_1')]
)
def test_names_that_windows_refuses(make_scene, picture, segment, name, stem):
    result = segment(make_scene(picture, name))
    assert result.files[-1].name == f'{stem}.json'


def test_names_of_parts(make_scene, picture, utm, tmp_path):
    path = make_scene(picture, 'scene.gpkg', driver='GPKG', **utm)
    for name, stem in (
        (f'GPKG:{path}:scene', 'scene_scene'),
        (path, 'scene'),
    ):
        with SceneReader(name) as scene:
            assert scene.stem() == stem
