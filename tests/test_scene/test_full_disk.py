# SPDX-License-Identifier: Apache-2.0
"""Files that don't become complete are never taken for results."""

import multiprocessing
import signal

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')
pytest.importorskip('resource', reason='limits are set as POSIX does')

import resource

from mmcadformer.scene import Tiling, Writing


def run_with_limit(run, limit, answer):
    """No file can have more bytes, as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        run('limited')
    except Exception as error:
        answer.send(error)
    else:
        answer.send(None)


def with_limit(run, limit):
    """What a run says when no file can have more bytes."""
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_with_limit, args=(run, limit, sender))
    process.start()
    sender.close()
    error = receiver.recv()
    process.join()
    assert isinstance(error, OSError), repr(error)
    return str(error)


@pytest.fixture
def scene(make_scene, utm):
    rng = np.random.default_rng(0)
    return make_scene(rng.integers(0, 256, (100, 120, 3), dtype=np.uint8), **utm)


@pytest.mark.parametrize('less', [1, 60, 10000])
@pytest.mark.parametrize(
    'name, writing',
    [
        ('scene_01_probability.tif', Writing(probability='float32', formats=('gpkg',))),
        ('scene.shp', Writing(formats=('shp',))),
        ('scene.geojson', Writing(formats=('geojson',))),
    ],
)
def test_what_is_not_complete_is_named_and_the_run_can_go_on(
    scene, segment, network, tmp_path, name, writing, less
):
    """Whether the last byte is missing, the last object or more."""
    if name.endswith('.tif'):
        # Too noisy to be compressed, too low to be an object.
        weights = np.array([0.1234, 0.777, 0.3313])
        network.answer = lambda pixels, word: pixels @ weights % 1 / 4

    def run(out):
        return segment(scene, out=out, tiling=Tiling((32,)), writing=writing)

    sizes = {file.name: file.stat().st_size for file in run('whole').files}
    message = with_limit(run, sizes[name] - less)
    assert name in message and 'written' in message
    assert [file.name for file in (tmp_path / 'limited').iterdir()] == ['scene.work']

    calls = network.calls
    run('limited')
    assert network.calls == calls
    for file in (tmp_path / 'whole').iterdir():
        assert file.read_bytes() == (tmp_path / 'limited' / file.name).read_bytes()


@pytest.mark.parametrize('limit, name', [(5000, 'batch_'), (20000, 'strip_')])
def test_unfinished_work_is_named(scene, segment, limit, name):
    message = with_limit(
        lambda out: segment(scene, out=out, tiling=Tiling((32,))), limit
    )
    assert f'scene.work/{name}' in message and 'cannot be written' in message
