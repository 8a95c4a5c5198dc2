# SPDX-License-Identifier: Apache-2.0
"""The command line, examples and what goes wrong at the start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from mmcadformer.demo.command import choose_port, main
from mmcadformer.demo.examples import find_examples
from mmcadformer.demo.models import load_models
from mmcadformer.demo.sources import (
    QUICKSTART_CONFIG,
    QUICKSTART_WEIGHTS,
    ModelSource,
    choose_models,
    find_quickstart,
    open_released,
)
from mmcadformer.demo.uploads import Limits, read_picture

HOST = '127.0.0.1'


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Calls the command and returns what it says when it ends."""
    for name in ('GRADIO_ANALYTICS_ENABLED', 'GRADIO_TEMP_DIR', 'NO_PROXY', 'no_proxy'):
        monkeypatch.setenv(name, os.environ.get(name, ''))
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        return ended.value.code

    yield run
    signal.signal(signal.SIGTERM, handler)


def test_errors_at_the_start(call, tiny_config, tiny_checkpoint, tmp_path):
    pytest.importorskip('gradio', reason='needs the demo extra')
    pair = tiny_config, tiny_checkpoint
    missing = tmp_path / 'missing.pth'
    assert call('missing.py', missing) == 'demo.py: config missing.py does not exist'
    assert str(missing) in call(tiny_config, missing)
    assert (
        call(tiny_config) == f'demo.py: give a checkpoint with the config {tiny_config}'
    )
    assert "device 'abacus' is unknown" in call(*pair, '--device', 'abacus')
    assert '--queue must be more than 0' in call(*pair, '--queue', 0)
    assert 'no such folder or file' in call(*pair, '--examples', 'nowhere')
    assert 'give 1, one per model' in call(*pair, '--names', 'a', 'b')
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = call(*pair, '--port', port)
        assert f'port {port} of {HOST} cannot be used' in message
    assert 'out of range' in call(*pair, '--port', 99999)


def test_ports():
    free = choose_port(HOST, 0)
    assert free > 1023 and choose_port(HOST, free) == free
    first = choose_port(HOST, None)
    with socket.socket() as taken:
        taken.bind((HOST, first))
        taken.listen()
        assert first < choose_port(HOST, None) < 7960


def test_models_of_the_command_line(tmp_path):
    assert choose_models('a.py', 'a.pth', [['b.py', 'b.pth']]) == [
        ModelSource('a.py', 'a.pth'),
        ModelSource('b.py', 'b.pth'),
    ]
    released = [ModelSource(name, f'{name}.pth', note='free') for name in 'rs']
    assert choose_models(None, None, [['b.py', 'b.pth']], released) == [
        ModelSource('r', 'r.pth', True, 'free'),
        ModelSource('s', 's.pth', False, 'free'),
        ModelSource('b.py', 'b.pth'),
    ]
    chosen = [model.chosen for model in choose_models('a.py', 'a.pth', [], released)]
    assert chosen == [True, False, False]
    with pytest.raises(ValueError, match='give a checkpoint with the config a.py'):
        choose_models('a.py', None, [], released)
    with pytest.raises(ValueError, match='for several: --model NAME=FILE'):
        open_released(['remotesam', 'rmsin_released=a.pth'], 'b.pth')
    with pytest.raises(ValueError, match='bash tools/quickstart.sh'):
        find_quickstart([tmp_path])
    config = tmp_path / QUICKSTART_CONFIG
    config.parent.mkdir()
    config.touch()
    weights = tmp_path / QUICKSTART_WEIGHTS
    weights.mkdir(parents=True)
    for age, name in ((100, 'best_oIoU_epoch_9.pth'), (50, 'best_oIoU_epoch_10.pth')):
        (weights / name).touch()
        os.utime(weights / name, (time.time() - age,) * 2)
    assert find_quickstart([tmp_path]) == (
        str(config),
        str(weights / 'best_oIoU_epoch_10.pth'),
    )


def test_models_get_different_names(tiny_config, tiny_checkpoint, demo_models):
    assert [model.name for model in demo_models] == ['tiny']
    pair = ModelSource(tiny_config, tiny_checkpoint)
    names = [model.name for model in load_models([pair, pair], 'cpu')]
    assert len(set(names)) == 2
    (named,) = load_models([pair], 'cpu', ['my model'])
    assert named.name == 'my model'


def test_drawn_examples(tmp_path):
    examples = find_examples(None, tmp_path)
    assert len(examples) >= 4
    for example in examples:
        assert example.sentences and all(example.sentences)
        assert read_picture(example.path, Limits()).rgb.std() > 5


def test_examples_of_a_folder_or_a_list(tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    picture = np.zeros((8, 8, 3), np.uint8)
    for name in ('b.png', 'a.jpg'):
        cv2.imwrite(str(folder / name), picture)
    (folder / 'a.txt').write_text('the pool\n\n the lake \n')
    first, second = find_examples(folder, tmp_path)
    assert (first.path.name, first.sentences) == ('a.jpg', ('the pool', 'the lake'))
    assert (second.path.name, second.sentences) == ('b.png', ())

    file = tmp_path / 'list.jsonl'
    lines = [
        dict(image='pictures/b.png', expression='one '),
        dict(image='pictures/a.jpg', expressions=['two', 'three'], mask=None),
        dict(image='pictures/b.png', expression='four'),
    ]
    file.write_text('\n'.join(map(json.dumps, lines)))
    first, second = find_examples(file, tmp_path)
    assert (first.path.name, first.sentences) == ('b.png', ('one', 'four'))
    assert (second.path.name, second.sentences) == ('a.jpg', ('two', 'three'))

    file.write_text('{"image": "pictures/b.png"}')
    with pytest.raises(ValueError, match='line 1: expected .*"expression"'):
        find_examples(file, tmp_path)
    file.write_text('\n{"image": "c.png", "expression": "x"}')
    with pytest.raises(FileNotFoundError, match='line 2: no picture .*c.png'):
        find_examples(file, tmp_path)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='there is no picture in it'):
        find_examples(tmp_path / 'empty', tmp_path)


def test_the_package_works_without_gradio(tmp_path):
    program = (
        'import sys; sys.modules["gradio"] = None\n'
        'import mmcadformer.apis\n'
        'from mmcadformer.demo.command import main; main(["a.py", "b.pth"])'
    )
    result = subprocess.run(
        [sys.executable, '-c', program], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.strip().endswith(
        "demo.py: the page needs Gradio: pip install -e '.[demo]'"
    )
