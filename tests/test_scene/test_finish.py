# SPDX-License-Identifier: Apache-2.0
"""What a GIS and a catalogue find in the results, besides pixels and polygons."""

import json
import os
import shutil
import signal
import sqlite3
import time
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import pyogrio
import rasterio
import shapely
from PIL import Image
from rasterio.enums import ColorInterp

from mmcadformer import __version__
from mmcadformer.scene import Reading, SceneSegmentor, Tiling, Writing
from mmcadformer.utils.lock import locked

WORDS = ['red', 'blue']
STARTED = '2025-10-09T08:53:20Z'  # as conftest's SOURCE_DATE_EPOCH says


@pytest.fixture
def large(make_scene, blobs, utm, segment, tmp_path):
    """Results that are large enough for overviews."""
    segment(make_scene(blobs(1100, 1200), **utm), WORDS, tiling=Tiling((400,)))
    return tmp_path / 'out'


def test_rasters_are_cloud_optimised(large):
    for name in ('01_mask', '02_mask', '01_probability'):
        file = large / f'scene_{name}.tif'
        with rasterio.open(file) as raster:
            assert raster.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
            assert raster.overviews(1) == [2, 4]
            whole = raster.read(1)
            if 'mask' in name:
                assert raster.colorinterp == (ColorInterp.palette,)
                assert set(np.unique(whole)) == {0, 1}
                assert raster.colormap(1)[255][3] == 0  # nothing is drawn there
        with rasterio.open(file, overview_level=0) as reduced:
            small = reduced.read(1)
        assert small.shape == (550, 600)
        if 'mask' in name:
            assert set(np.unique(small)) <= {0, 1}
        assert small.mean() == pytest.approx(whole.mean(), rel=0.1)


def test_expressions_have_colours_of_their_own(large):
    colors = []
    for name in ('01', '02'):
        with rasterio.open(large / f'scene_{name}_mask.tif') as raster:
            colors.append(raster.colormap(1)[1][:3])
    assert colors[0] != colors[1]
    root = ElementTree.fromstring((large / 'scene.qml').read_text())
    assert root.tag == 'qgis'
    renderer = root.find('renderer-v2')
    assert renderer.get('attr') == 'expression'
    drawn = {}
    for category in renderer.iter('category'):
        symbol = renderer.find(f"symbols/symbol[@name='{category.get('symbol')}']")
        option = symbol.find(".//Option[@name='color']").get('value')
        drawn[category.get('value')] = tuple(map(int, option.split(',')[:3]))
    assert drawn['red'] == colors[0] and drawn['blue'] == colors[1]
    assert '' in drawn  # all others


def test_the_geopackage_has_the_style(large):
    """As QGIS looks for it: by the layer's name and its column of geometries."""
    file = large / 'scene.gpkg'
    layers = dict(pyogrio.list_layers(file).tolist())
    assert layers == {'objects': 'Polygon', 'layer_styles': None}
    with sqlite3.connect(file) as database:
        (column,) = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name='objects'"
        ).fetchone()
        (style,) = database.execute(
            'SELECT styleQML FROM layer_styles WHERE f_table_name=? AND '
            'f_geometry_column=? AND useAsDefault',
            ('objects', column),
        ).fetchone()
    database.close()
    assert style == (large / 'scene.qml').read_text()


def test_results_say_what_made_them(make_scene, utm, network, tmp_path):
    deep = np.random.default_rng(0).integers(0, 4000, (60, 70, 4), dtype=np.uint16)
    path = make_scene(deep, photometric='minisblack', alpha='no', **utm)
    origin = dict(config='mine.py', checkpoint='best.pth', weights_sha256='ab' * 32)
    segmentor = SceneSegmentor(network, Tiling((64,)), origin=origin)
    reading = Reading(bands=(4, 2, 1), value_range=(0, 4000))
    segmentor(path, 'red', tmp_path / 'out', reading=reading, progress=False)
    told = json.loads((tmp_path / 'out/scene.json').read_text())['provenance']
    assert told == dict(
        origin,
        software=f'mmcadformer {__version__}',
        started=STARTED,
        network=network.fingerprint(),
        bands=[4, 2, 1],
        depth='uint16',
        stretch=dict(low=[0.0] * 3, high=[4000.0] * 3),
    )
    for name in ('mask', 'probability'):
        with rasterio.open(tmp_path / f'out/scene_01_{name}.tif') as raster:
            tags = raster.tags()
        assert tags['TIFFTAG_SOFTWARE'] == f'mmcadformer {__version__}'
        assert tags['TIFFTAG_DATETIME'] == '2025:10:09 08:53:20'
        assert tags['WEIGHTS_SHA256'] == 'ab' * 32 and tags['CONFIG'] == 'mine.py'
        assert json.loads(tags['BANDS']) == [4, 2, 1]
        assert json.loads(tags['STRETCH']) == told['stretch']


def test_the_summary_says_how_a_scene_was_read(make_scene, utm, segment, tmp_path):
    deep = np.full((40, 50, 4), 500, np.uint16)
    deep[..., 3] = 65535
    deep[:10] = 0
    path = make_scene(deep, photometric='RGB', alpha='yes', **utm)
    reading = Reading(value_range=(0, 1000), nodata=float('nan'))
    segment(path, reading=reading)
    read = json.loads((tmp_path / 'out/scene.json').read_text())['read']
    assert read == dict(
        count=4,
        bands=[1, 2, 3],
        alpha=[4],
        depth='uint16',
        stretch=dict(low=[0.0] * 3, high=[1000.0] * 3),
        nodata='nan',
        orientation='stored',
        subdataset=None,
        notes=[],
    )


def test_orientation_tags_turn_no_scene(blobs, segment, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / 'photo.jpg'
    Image.fromarray(blobs(40, 50)).save(path, exif=exif)
    summary = segment(path).summary
    assert (summary['height'], summary['width']) == (40, 50)
    assert any(
        'Orientation tag (EXIF) is 6' in note for note in summary['read']['notes']
    )
    with pytest.raises(ValueError, match=r'photo\.jpg: scenes are read as stored'):
        segment(path, reading=Reading(orientation='applied'))


def test_a_resumed_run_notes_when_it_first_began(
    make_scene, blobs, utm, segment, network, tmp_path, monkeypatch
):
    """Two copies of an unfinished run end alike, whenever that is."""
    path = make_scene(blobs(540, 150), **utm)
    answer = network.answer

    def stop(pixels, word):
        if network.calls == 4:
            raise KeyboardInterrupt
        return answer(pixels, word)

    network.answer = stop
    with pytest.raises(KeyboardInterrupt):
        segment(path, out='out')
    network.answer = answer
    shutil.copytree(tmp_path / 'out', tmp_path / 'later')
    ends = []
    for out, moment in (('out', '1770000000'), ('later', '1780000000')):
        monkeypatch.setenv('SOURCE_DATE_EPOCH', moment)
        segment(path, out=out)
        files = sorted((tmp_path / out).iterdir())
        ends.append({file.name: file.read_bytes() for file in files})
    assert ends[0] == ends[1] and len(ends[0]) == 7
    assert STARTED.encode() in ends[0]['scene.json']


def test_the_item_is_valid_stac(large, utm):
    item = json.loads((large / 'scene_stac.json').read_text())
    assert item['type'] == 'Feature' and item['stac_version'] == '1.0.0'
    assert item['id'] == 'scene'
    outline = shapely.geometry.shape(item['geometry'])
    assert item['bbox'] == pytest.approx(outline.bounds)
    west, south, east, north = item['bbox']
    assert 13.61 < west < east < 13.63 and 49.63 < south < north < 49.65
    properties = item['properties']
    assert properties['datetime'] == properties['created'] == STARTED
    assert properties['proj:code'] == 'EPSG:32633'
    assert properties['proj:shape'] == [1100, 1200]
    assert properties['proj:transform'] == list(utm['transform'][:6])
    hrefs = {asset['href'] for asset in item['assets'].values()}
    assert hrefs == {
        f'./{file.name}' for file in large.iterdir() if file.name != 'scene_stac.json'
    }
    (link,) = item['links']
    assert link['rel'] == 'derived_from' and link['href'].endswith('scene.tif')


def test_items_of_pictures_without_a_place(make_scene, blobs, segment, tmp_path):
    segment(make_scene(blobs(40, 50)), writing=Writing(formats=('gpkg',)))
    item = json.loads((tmp_path / 'out/scene_stac.json').read_text())
    assert item['geometry'] is None and 'bbox' not in item


@pytest.mark.parametrize(
    'told, expected',
    [
        ('2020-06-01 10:20:30', '2020-06-01T10:20:30Z'),
        ('2020-06-01T10:20:30.25Z', '2020-06-01T10:20:30.250000Z'),
        ('2020-06-01T12:20:30+02:00', '2020-06-01T10:20:30Z'),
        ('2020-06-01', STARTED),  # no moment
        ('the first of June in 2020', STARTED),
    ],
)
def test_satellites_tell_when_a_picture_was_taken(
    make_scene, blobs, utm, segment, tmp_path, told, expected
):
    path = make_scene(blobs(40, 50), **utm)
    with rasterio.open(path, 'r+') as file:
        file.update_tags(ns='IMAGERY', ACQUISITIONDATETIME=told)
    segment(path)
    item = json.loads((tmp_path / 'out/scene_stac.json').read_text())
    assert item['properties']['datetime'] == expected


def test_a_geojson_without_objects_has_its_fields(make_scene, utm, segment, tmp_path):
    segment(make_scene(np.zeros((40, 50, 3), np.uint8), **utm))
    file = tmp_path / 'out/scene.geojson'
    content = json.loads(file.read_text())
    assert content['features'] == []
    assert content['fields'] == dict(
        expression='string', score='number', area_m2='number', pixels='integer'
    )
    assert pyogrio.read_info(file)['driver'] == 'GeoJSON'


def hold(folder):
    with locked(folder, 'scene'):
        print('held')
        time.sleep(60)


def test_two_processes_do_not_write_the_same_results(
    make_scene, blobs, utm, segment, network, tmp_path, fork
):
    path = make_scene(blobs(40, 50), **utm)
    out = tmp_path / 'out'
    other = fork(hold, out)
    other.wait_for(lambda output: 'held' in output)
    with pytest.raises(OSError, match=rf'scene is in use by .*process {other.pid}'):
        segment(path)
    assert network.calls == 0
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    segment(path)  # its death frees them
    assert (out / 'scene.json').exists()
