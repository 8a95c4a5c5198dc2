# SPDX-License-Identifier: Apache-2.0
"""Many scenes in one go: named apart, resumed, reported, merged, stretched alike."""

import json
import multiprocessing
import os
import signal

import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import numpy as np
import pyogrio
import pyproj
import rasterio
import shapely
from affine import Affine

from mmcadformer.scene import (
    Reading,
    SceneSegmentor,
    SetOptions,
    Tiling,
    Writing,
    many,
    prepare_scenes,
    segment_scenes,
    sources,
)


@pytest.fixture
def segmentor(network):
    return SceneSegmentor(network, Tiling((64,)))


@pytest.fixture
def run(segmentor, tmp_path):
    """Segments scenes into a folder."""

    def run(scenes, out='out', words='red', progress=False, restart=False, **options):
        keys = ('aoi', 'aoi_layer', 'reading', 'writing')
        rest = {key: options.pop(key) for key in keys if key in options}
        return segment_scenes(
            segmentor, scenes, words, tmp_path / out, options=SetOptions(**options),
            progress=progress, restart=restart, **rest,
        )  # fmt: skip

    return run


@pytest.fixture
def row_of(make_scene, blobs, tmp_path):
    """Writes scenes of 60 x 70 px side by side and gives their paths."""

    def make(count, folder='in', dtype=np.uint8, **profile):
        (tmp_path / folder).mkdir()
        profile = dict(crs='EPSG:32633') | profile
        return [
            make_scene(
                blobs(60, 70, seed=number).astype(dtype),
                f'{folder}/s{number}.tif',
                transform=Affine(0.5, 0, 400000 + 35 * number, 0, -0.5, 5500000),
                **profile,
            )
            for number in range(count)
        ]

    return make


def damage(file):
    """Cuts the pixels off; the header stays."""
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    return whole


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_each_scene_has_the_results_that_it_has_alone(run, row_of, segment, tmp_path):
    files = row_of(3)
    result = run(tmp_path / 'in', words=['red', 'blue'])
    assert [(r['name'], r['state']) for r in result.report['scenes']] == [
        (f's{number}', 'done') for number in range(3)
    ]
    for file, record in zip(files, result.report['scenes'], strict=True):
        alone = segment(file, ['red', 'blue'], out='alone')
        assert record['scene'] == str(file)
        assert record['objects'] == [f['objects'] for f in alone.summary['expressions']]
    together, alone = contents(tmp_path / 'out'), contents(tmp_path / 'alone')
    report = json.loads(together.pop('all_scenes.json'))
    assert together == alone and report == result.report
    assert report['counts'] == dict(done=3, failed=0, outside=0)
    assert {file.name for file in result.files} == {*alone, 'all_scenes.json'}


def test_finished_scenes_are_left_and_changed_ones_made_again(
    run, row_of, network, tmp_path
):
    files = row_of(3)
    first = run(files)
    calls, before = network.calls, contents(tmp_path / 'out')
    again = run(files)
    assert network.calls == calls and (first.kept, again.kept) == (0, 3)
    assert contents(tmp_path / 'out') == before and again.files == first.files

    os.utime(files[1], (1, 1))
    (tmp_path / 'out/s2_01_mask.tif').unlink()
    assert run(files).kept == 1
    assert contents(tmp_path / 'out').keys() == before.keys()
    assert run(files, writing=Writing(threshold=0.6)).kept == 0
    assert run(files, writing=Writing(threshold=0.6), restart=True).kept == 0
    assert run(files[:2], words='blue').kept == 0


def kill_after(moves, segmentor, *arguments, **options):
    """In a process that kills itself when it moves a file to its place once more."""
    replace = os.replace

    def counted(*names):
        nonlocal moves
        moves -= 1
        if moves <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*names)

    os.replace = counted
    segment_scenes(segmentor, *arguments, progress=False, **options)


def test_a_killed_run_goes_on_and_ends_alike(run, row_of, segmentor, network, tmp_path):
    files = row_of(4)
    run(files, merge=True)
    straight, calls = contents(tmp_path / 'out'), network.calls
    for moves, kept in ((1, 0), (17, 1), (35, 3)):
        out = tmp_path / f'killed{moves}'
        process = multiprocessing.get_context('fork').Process(
            target=kill_after,
            args=(moves, segmentor, files, 'red', out),
            kwargs=dict(options=SetOptions(merge=True)),
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (out / 'all_scenes.json').exists()
        network.calls = 0
        assert run(files, out.name, merge=True).kept >= kept
        assert network.calls <= calls * (4 - kept) / 4
        assert contents(out) == straight


def test_a_damaged_scene_is_reported_and_the_rest_done(
    run, row_of, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(many, 'warn', said.append)

    files = row_of(4, compress='deflate')
    whole = damage(files[1])
    files[3].write_text('nothing')
    with pytest.raises(ValueError, match=r's3\.tif is not a raster'):
        run(files)  # before any work is done
    assert not (tmp_path / 'out').exists()
    result = run(files, skip_errors=True, merge=True)
    states = [record['state'] for record in result.report['scenes']]
    assert states == ['done', 'failed', 'done', 'failed']
    assert 's1.tif is damaged or cut off' in result.of('failed')[0]['error']
    assert 's3.tif is not a raster' in result.of('failed')[1]['error']
    assert said == [f'left out: {record["error"]}' for record in result.of('failed')]
    assert result.report == json.loads((tmp_path / 'out/all_scenes.json').read_text())
    assert set(_merged(tmp_path)[1]['scene']) == {'s0', 's2'}

    # A good file under the same name starts anew, and nothing else.
    files[1].write_bytes(whole)
    result = run(files[:3])
    assert result.kept == 2 and result.report['counts']['done'] == 3
    assert not list((tmp_path / 'out').glob('*.work'))


def test_a_damaged_scene_alone_may_be_replaced_too(row_of, segment, tmp_path):
    [file] = row_of(1, compress='deflate')
    whole = damage(file)
    with pytest.raises(ValueError, match='damaged'):
        segment(file)
    assert (tmp_path / 'out/s0.work').is_dir()
    file.write_bytes(whole)
    segment(file, 'blue')
    assert not (tmp_path / 'out/s0.work').exists()


def test_results_among_the_scenes_are_not_scenes(run, row_of, tmp_path, monkeypatch):
    """The same command finds them when it goes on."""
    said = []
    monkeypatch.setattr(sources, 'warn', said.append)
    row_of(2)
    pattern = str(tmp_path / '**/*.tif')
    assert len(run(pattern, out='in').report['scenes']) == 2 and not said
    work = tmp_path / 'in/s1.work/results'
    work.mkdir(parents=True)
    (work / 's1_01_mask.tif').touch()
    assert len(run(pattern, out='in', restart=True).report['scenes']) == 2
    assert len(said) == 1 and '5 files in the output folder' in said[0]


def test_nothing_done_is_an_error_after_the_report(run, row_of, tmp_path, monkeypatch):
    monkeypatch.setattr(many, 'warn', lambda message: None)
    [file] = row_of(1)
    file.write_text('nothing')
    with pytest.raises(ValueError, match=r'all_scenes\.json.*s0\.tif is not a raster'):
        run([file, tmp_path / 'gone.tif'], skip_errors=True, merge=True)
    report = json.loads((tmp_path / 'out/all_scenes.json').read_text())
    assert report['counts']['failed'] == 2 and report['merged'] is None
    assert 'gone.tif does not exist' in report['scenes'][1]['error']


def test_scenes_outside_of_the_area_are_no_errors(run, row_of, tmp_path):
    row_of(3)
    area = tmp_path / 'area.geojson'
    centre = pyproj.Transformer.from_crs(32633, 4326, always_xy=True).transform(
        400000 + 35 * 1.5, 5500000 - 15
    )
    area.write_text(shapely.to_geojson(shapely.Point(centre).buffer(1e-4)))
    result = run(tmp_path / 'in', aoi=area)
    states = [record['state'] for record in result.report['scenes']]
    assert states == ['outside', 'done', 'outside']
    with pytest.raises(FileNotFoundError, match=r'no\.shp does not exist'):
        run(tmp_path / 'in', aoi='no.shp')


def _merged(tmp_path, out='out'):
    file = tmp_path / out / 'all_scenes.gpkg'
    assert [name for name, _ in pyogrio.list_layers(file)] == ['objects']
    meta, _, shapes, values = pyogrio.raw.read(file)
    return (
        meta,
        dict(zip(meta['fields'], values, strict=True)),
        shapely.from_wkb(shapes),
    )


def test_merged_objects_are_those_of_the_scenes(run, row_of, tmp_path):
    """In their own coordinates, if they share a system."""
    row_of(3)
    run(tmp_path / 'in', merge=True)
    meta, fields, shapes = _merged(tmp_path)
    assert meta['crs'] == 'EPSG:32633' and meta['geometry_type'] == 'Polygon'
    assert fields['id'].tolist() == list(range(1, len(shapes) + 1))
    for name in ('s0', 's1', 's2'):
        own_meta, _, own, values = pyogrio.raw.read(
            tmp_path / f'out/{name}.gpkg', layer='objects'
        )
        here = fields['scene'] == name
        assert (
            len(own) and shapely.equals_exact(shapely.from_wkb(own), shapes[here]).all()
        )
        for field, column in zip(own_meta['fields'], values, strict=True):
            if field != 'id':
                assert column.tolist() == fields[field][here].tolist()


def test_scenes_of_several_systems_are_merged_in_degrees(run, row_of, tmp_path):
    row_of(2)
    row_of(2, 'other', crs='EPSG:32634')
    row_of(1, 'nowhere', crs=None)
    run([tmp_path / 'in', tmp_path / 'other', tmp_path / 'nowhere'], merge=True)
    meta, fields, shapes = _merged(tmp_path)
    assert meta['crs'] == 'EPSG:4326' and meta['geometry_type'] == 'MultiPolygon'
    names = ['in_s0', 'in_s1', 'other_s0', 'other_s1']
    assert sorted(set(fields['scene'])) == names  # what has no place is left out
    for name in names:
        collection = json.loads((tmp_path / f'out/{name}.geojson').read_text())
        own = [shapely.geometry.shape(f['geometry']) for f in collection['features']]
        here = shapes[fields['scene'] == name]
        assert len(own) == len(here)
        assert all(a.equals(b) for a, b in zip(own, here, strict=True))
        areas = [f['properties']['area_m2'] for f in collection['features']]
        assert areas == fields['area_m2'][fields['scene'] == name].tolist()


def test_scenes_without_a_place_are_merged_in_pixels(run, row_of, tmp_path):
    row_of(2, crs=None)
    run(tmp_path / 'in', merge=True)
    meta, fields, shapes = _merged(tmp_path)
    assert meta['crs'] is None and np.isnan(fields['area_m2']).all() and len(shapes)


def test_a_merge_of_nothing_has_a_layer(run, make_scene, utm, tmp_path):
    black = np.zeros((40, 50, 3), np.uint8)
    make_scene(black, **utm)
    run(tmp_path / 'scene.tif', merge=True)
    meta, fields, shapes = _merged(tmp_path)
    assert meta['crs'] == 'EPSG:32633' and not len(shapes) and 'scene' in fields


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (
            dict(merge=True, writing=Writing(formats=('shp',))),
            'add gpkg to the formats',
        ),
        (dict(common_stretch=True, reading=Reading(value_range=(0, 1))), 'exclude'),
        (dict(out='taken'), r'taken/all_scenes\.json would be replaced'),
        (dict(out='old', merge=True), r'old/all_scenes\.gpkg would be replaced'),
        (
            dict(writing=Writing(formats=('geojson',))),
            r's1\.tif does not say where on the earth',
        ),
    ],
)
def test_what_cannot_be_is_said_before_any_work(
    run, row_of, make_scene, blobs, network, tmp_path, options, error
):
    row_of(1)
    make_scene(blobs(20, 20), 'in/s1.tif')
    for name in ('taken/all_scenes.json', 'old/all_scenes.gpkg'):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text('{}')
    with pytest.raises(ValueError, match=error):
        run(tmp_path / 'in', **options)
    assert network.calls == 0


def test_one_bar_counts_the_tiles_of_all(run, row_of, monkeypatch, tmp_path):
    bars = []
    make = many.progress_bar

    def recorded(*args, **options):
        bars.append(make(*args, **options))
        return bars[-1]

    monkeypatch.setattr(many, 'progress_bar', recorded)
    monkeypatch.setattr(many, 'warn', lambda message: None)
    files = row_of(3)
    for expected in (0, 3):
        assert run(files, progress=True).kept == expected
    # Four tiles of 64 px cover 60 x 70 px: one batch each, two overlapping tiles.
    assert [(bar.n, bar.total) for bar in bars] == [(3, 3), (3, 3)]
    damage(files[0])
    run(files, out='other', progress=True, skip_errors=True)
    assert bars[-1].n == bars[-1].total


def test_neighbours_are_stretched_alike(run, make_scene, utm, tmp_path):
    """Else their common ground has two colours."""
    rng = np.random.default_rng(0)
    dark = rng.integers(300, 900, (60, 70, 3)).astype(np.uint16)
    bright = rng.integers(800, 3000, (60, 70, 3)).astype(np.uint16)
    common = dark[:, 60:]
    bright[:, :10] = common
    files = [make_scene(dark, 'dark.tif', **utm), make_scene(bright, 'b.tif', **utm)]
    result = run(files, common_stretch=True)
    low, high = result.report['value_range'][:2]
    both = np.concatenate([dark[..., 0].ravel(), bright[..., 0].ravel()])
    assert [low, high] == pytest.approx(np.percentile(both, (2, 98)), rel=1e-3)
    values = []
    for name, columns in (('dark', slice(60, 70)), ('b', slice(0, 10))):
        with rasterio.open(tmp_path / f'out/{name}_01_probability.tif') as raster:
            values.append(raster.read(1)[:, columns])
    assert (values[0] == values[1]).all() and len(np.unique(values[0])) > 20
    run(files, out='apart')
    with rasterio.open(tmp_path / 'apart/b_01_probability.tif') as raster:
        assert (raster.read(1)[:, :10] != values[1]).any()


def test_what_was_prepared_is_what_is_run(segmentor, row_of, tmp_path):
    prepared = prepare_scenes(row_of(2), tmp_path / 'out')
    assert segment_scenes(segmentor, prepared, 'red', progress=False).kept == 0
    with pytest.raises(ValueError, match='out_dir is missing'):
        segment_scenes(segmentor, tmp_path / 'in', 'red')
