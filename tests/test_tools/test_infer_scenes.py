# SPDX-License-Identifier: Apache-2.0
"""Many scenes from the command line, with a real model in a real process."""

import json
import os
import runpy
import signal
import sys

import numpy as np
import pytest

pytest.importorskip('pyogrio', reason='needs the geo extra')

import pyogrio
import rasterio
from affine import Affine

COUNT = 8


@pytest.fixture(autouse=True)
def one_date(monkeypatch):
    """Results tell when their run began."""
    monkeypatch.setenv('SOURCE_DATE_EPOCH', '1760000000')


@pytest.fixture
def scenes(tmp_path):
    """Small scenes side by side."""
    (tmp_path / 'in').mkdir()
    rng = np.random.default_rng(0)
    files = []
    for number in range(COUNT):
        files.append(tmp_path / f'in/s{number}.tif')
        with rasterio.open(
            files[-1], 'w', driver='GTiff', height=40, width=60, count=3, dtype='uint8',
            crs='EPSG:32633', transform=Affine(1, 0, 60 * number, 0, -1, 5e6),
        ) as file:  # fmt: skip
            file.write(rng.integers(1, 256, (3, 40, 60), dtype=np.uint8))
    return files


@pytest.fixture
def command(tiny_config, tiny_checkpoint, tmp_path):
    def make(*args, out='out'):
        common = ['--config', tiny_config, '--checkpoint', tiny_checkpoint]
        common += ['--tile-size', 32, '--device', 'cpu', '--out-dir', tmp_path / out]
        return [str(part) for part in [*common, *args]]

    return make


@pytest.fixture
def infer(call_tool, command):
    return lambda *args, **options: call_tool(
        'infer_scene.py', *command(*args, **options), '--quiet'
    )


def contents(folder):
    files = sorted(file for file in folder.iterdir() if file.is_file())
    return {file.name: file.read_bytes() for file in files}


def test_killed_and_resumed_with_one_damaged_among_them(
    scenes, command, fork_tool, tmp_path
):
    damaged = scenes[5].read_bytes()[:3000]
    scenes[5].write_bytes(damaged)
    (tmp_path / 'list.txt').write_text('in/*.tif\n')
    arguments = ['@list.txt', '--text', 'the pond', '--text', 'a tank', '--merge']
    arguments += ['--skip-errors', '--probability', 'none']

    def start(*args):
        return fork_tool('infer_scene.py', *args, cwd=tmp_path)

    straight = start(*command(*arguments, out='straight'))
    assert straight.wait().returncode == 0, straight.output
    text = straight.output
    assert text.count('model loaded') == 1
    assert "'the pond': " in text and f'in {COUNT - 1} scenes' in text
    assert text.count('failed: in/s5.tif is damaged') == 1

    process = start(*command(*arguments))
    process.wait_for(lambda output: (tmp_path / 'out/s1.json').exists())
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait().returncode == -signal.SIGKILL
    assert not (tmp_path / 'out/all_scenes.json').exists()
    resumed = start(*command(*arguments))
    resumed.wait()
    assert 'had been finished before' in resumed.output
    assert contents(tmp_path / 'out') == contents(tmp_path / 'straight')

    report = json.loads((tmp_path / 'out/all_scenes.json').read_text())
    assert report['counts'] == dict(done=COUNT - 1, failed=1, outside=0)
    merged = tmp_path / 'out/all_scenes.gpkg'
    assert [name for name, _ in pyogrio.list_layers(merged)] == ['objects']
    counts = sum(sum(record.get('objects', [])) for record in report['scenes'])
    assert pyogrio.read_info(merged)['features'] == counts


def test_two_processes_share_scenes(scenes, command, fork, repo_root, tmp_path):
    """One is killed: the other does its part; started again, both keep all."""
    arguments = ['in', '--text', 'the pond', '--merge', '--probability', 'none']
    variables = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE')

    def main(rank, arguments):
        for name, value in zip(variables, (rank, rank, 2), strict=True):
            os.environ[name] = str(value)
        sys.argv = [str(repo_root / 'tools/infer_scene.py'), *arguments]
        runpy.run_path(sys.argv[0], run_name='__main__')

    def start(rank, out='out'):
        shared = command(*arguments, '--launcher', 'pytorch', out=out)
        return fork(main, rank, shared, cwd=tmp_path)

    second = start(1)
    # With the begin of its next scene, the first is whole.
    second.wait_for(lambda output: list((tmp_path / 'out').glob('.s3.*')))
    os.kill(second.pid, signal.SIGKILL)
    second.wait()
    done = (tmp_path / 'out/s1.json').stat().st_mtime_ns
    first, second = start(0), start(1)
    for process in (first, second):
        assert process.wait().returncode == 0, process.output
    assert f'in {COUNT} scenes' in first.output
    assert 'scenes' not in second.output
    assert (tmp_path / 'out/s1.json').stat().st_mtime_ns == done

    alone = fork(main, 0, command(*arguments, out='alone'), cwd=tmp_path)
    assert alone.wait().returncode == 0, alone.output
    assert contents(tmp_path / 'out') == contents(tmp_path / 'alone')


def test_sharing_that_cannot_be(scenes, infer, monkeypatch):
    shared = ['--text', 'it', '--launcher', 'slurm']
    with pytest.raises(SystemExit, match='only one is given'):
        infer(scenes[0], *shared)
    with pytest.raises(SystemExit, match='needs SLURM_PROCID in the environment'):
        infer(*scenes, *shared)
    for name in ('PROCID', 'NTASKS', 'LOCALID'):
        monkeypatch.setenv(f'SLURM_{name}', '1')
    with pytest.raises(SystemExit, match='several processes can only go on'):
        infer(*scenes, *shared, '--restart')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{0}', '{1}', 'the pond'], r's1\.tif is taken for an expression'),
        (['{0}', 'gone.tif', 'the pond'], r'gone\.tif is taken for an expression'),
        (['{0}', '{folder}'], r'in is taken for an expression.*--text "EXPRESSION"'),
        (['{0}', '--text', '{1}'], r's1\.tif is a file, not an expression'),
        (['{0}'], r'no expression is given for .*s0\.tif'),
        (['{0}', '{1}', '--text', ' '], 'expression 1 is empty'),
        (['{0}', 'gone.tif', '--text', 'it'], r'gone\.tif does not exist'),
        (['gone.tif', 'it'], r'gone\.tif does not exist'),
        (['@gone.txt', 'it'], r'gone\.txt does not exist'),
        (['*.gone', 'it'], r'no file matches \*\.gone'),
    ],
)
def test_mistakes_are_found_before_the_model_is_loaded(
    infer, scenes, tmp_path, arguments, message
):
    given = [text.format(*scenes, folder=scenes[0].parent) for text in arguments]
    with pytest.raises(SystemExit, match=f'^infer_scene.py: .*{message}') as stop:
        infer(*given, '--checkpoint', 'gone.pth')
    assert '\n' not in str(stop.value)
    assert not (tmp_path / 'out').exists()


def test_a_folder_may_have_its_sentence_behind_it(infer, scenes, tmp_path):
    text = infer(scenes[0].parent, 'the pond', '--formats', 'parquet')
    assert f'in {COUNT} scenes' in text and 'all_scenes.json' in text
    assert (tmp_path / 'out/s7.parquet').exists()


def test_options_may_stand_between_scenes(infer, scenes):
    text = infer(scenes[0], '--text', 'the pond', scenes[1])
    assert 'in 2 scenes' in text


def test_items_of_a_collection(infer, scenes, tmp_path):
    items = [
        dict(type='Feature', id=file.stem, assets=dict(visual=dict(href=str(file))))
        for file in scenes[:2]
    ]
    file = tmp_path / 'items.json'
    file.write_text(json.dumps(dict(type='FeatureCollection', features=items)))
    assert 'in 2 scenes' in infer(file, 'the pond', '--asset', 'visual')


def test_wide_values_are_stretched_alike(infer, scenes, tmp_path):
    for number, file in enumerate(scenes):
        with rasterio.open(file) as source:
            profile, values = source.profile, source.read()
        profile.update(dtype='uint16')
        with rasterio.open(file, 'w', **profile) as wide:
            wide.write(values.astype(np.uint16) * (number + 1))
    infer(scenes[0].parent, 'the pond', '--common-stretch')
    report = json.loads((tmp_path / 'out/all_scenes.json').read_text())
    assert len(report['value_range']) == 6 and report['value_range'][1] > 1000
