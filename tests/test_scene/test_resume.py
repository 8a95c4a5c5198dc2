# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment, a run goes on and ends with the same bytes."""

import multiprocessing
import os
import shutil
import signal

import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import rasterio.shutil
from rasterio.vrt import WarpedVRT

from mmcadformer.scene import Reading, SceneSegmentor, Tiling, Writing


def run_until_killed(segmentor, moves, *arguments):
    """In a process that kills itself, with no chance to clean up.

    It does so when a file is to be put in its place for the ``moves``-th time: every
    file of an unfinished run is, and at the end every result.
    """
    replace = os.replace

    def counted(*names):
        nonlocal moves
        moves -= 1
        if moves <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*names)

    os.replace = counted
    segmentor(*arguments, progress=False)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def scene(make_scene, blobs, utm):
    return make_scene(blobs(540, 150), **utm)


@pytest.mark.parametrize('moves, done', [(9, 3), (36, 17), (42, 17)])
def test_killed_runs_go_on_and_end_alike(
    scene, segment, network, tmp_path, moves, done
):
    """While tiles are looked at, after a strip, and between two results."""
    segment(scene, ['red', 'blue'], out='straight', tiling=Tiling((64,)))
    all_calls, network.calls = network.calls, 0

    out = tmp_path / 'killed'
    segmentor = SceneSegmentor(network, Tiling((64,)))
    process = multiprocessing.get_context('fork').Process(
        target=run_until_killed, args=(segmentor, moves, scene, ['red', 'blue'], out)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (out / 'scene.work').is_dir() and not (out / 'scene.json').exists()

    segment(scene, ['red', 'blue'], out='killed', tiling=Tiling((64,)))
    # No answer was asked for twice.
    assert (all_calls, network.calls) == (17, 17 - done)
    assert contents(out) == contents(tmp_path / 'straight')
    assert len(contents(out)) == 9


@pytest.fixture
def interrupted(scene, network, tmp_path):
    """A run that stopped after three answers."""
    answers = []

    def answer(tiles, expressions):
        if len(answers) == 3:
            raise KeyboardInterrupt
        answers.append(tiles)
        return network(tiles, expressions)

    network.stopping = answer
    stopping = type(
        'Stopping',
        (),
        dict(
            fill=network.fill,
            pairs=network.pairs,
            fingerprint=network.fingerprint,
            __call__=lambda self, *args: answer(*args),
        ),
    )()
    with pytest.raises(KeyboardInterrupt):
        SceneSegmentor(stopping, Tiling((64,)))(
            scene, 'red', tmp_path / 'out', progress=False
        )
    return scene


def test_other_settings_never_go_on(interrupted, segment, network, tmp_path, blobs):
    for options, word in (
        (dict(words='blue'), 'expressions'),
        (dict(tiling=Tiling((64,), 0.3)), 'tiling'),
        (dict(presence=0.2), 'presence'),
        (dict(reading=Reading(bands=(2, 1, 3))), 'reading'),
    ):
        with pytest.raises(ValueError, match=rf'scene\.work.*{word}'):
            segment(interrupted, **options)
    network.fingerprint = lambda: 'other weights'
    with pytest.raises(ValueError, match='network'):
        segment(interrupted)
    segment(interrupted, restart=True)
    assert not (tmp_path / 'out/scene.work').exists()


def test_what_only_the_results_depend_on_may_change(interrupted, segment, network):
    result = segment(interrupted, writing=Writing(threshold=0.7, probability=None))
    assert result.summary['threshold'] == 0.7


def test_a_changed_scene_is_another_scene(interrupted, segment):
    shutil.copyfile(interrupted, f'{interrupted}.new')
    os.replace(f'{interrupted}.new', interrupted)
    with pytest.raises(ValueError, match='scene'):
        segment(interrupted)


def test_a_changed_source_of_a_mosaic_is_another_scene(
    interrupted, segment, network, tmp_path
):
    """And a mask that appears beside it, but not what viewers leave there."""
    segment(interrupted)
    mosaic = tmp_path / 'mosaic.vrt'
    with rasterio.open(interrupted) as source, WarpedVRT(source) as warped:
        rasterio.shutil.copy(warped, mosaic, driver='VRT')
    network.stop_after = network.calls + 3

    def answer(pixels, word, plain=network.answer):
        if network.calls == network.stop_after:
            raise KeyboardInterrupt
        return plain(pixels, word)

    network.answer = answer
    with pytest.raises(KeyboardInterrupt):
        segment(mosaic)
    (tmp_path / 'scene.tif.aux.xml').write_text('<PAMDataset/>')
    status = os.stat(interrupted)
    os.utime(interrupted, (status.st_atime, status.st_mtime + 1))
    with pytest.raises(ValueError, match='scene'):
        segment(mosaic)
    os.utime(interrupted, ns=(status.st_atime_ns, status.st_mtime_ns))
    segment(mosaic)


def test_files_of_others_survive(scene, segment, tmp_path):
    work = tmp_path / 'out/scene.work'
    work.mkdir(parents=True)
    (work / 'notes.txt').write_text('mine')
    segment(scene, restart=True)
    assert [file.name for file in work.iterdir()] == ['notes.txt']
