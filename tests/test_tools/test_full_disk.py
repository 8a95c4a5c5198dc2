# SPDX-License-Identifier: Apache-2.0
"""Full and read-only disks: one line, no half file, earlier results kept."""

import json
import subprocess

import cv2
import numpy as np
import pytest

from mmcadformer.synthrs import generate_synthrs
from mmcadformer.utils.files import check_writable, whole_file, write_json


@pytest.fixture
def disk(tmp_path):
    """A small disk; ``fill`` leaves some bytes of it, ``lock`` lets nobody write."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    command = ['mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip('needs the command mount')
    if mounted.returncode:
        pytest.skip(f'a disk cannot be mounted here: {mounted.stderr.strip()}')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def fill(disk, left):
    (disk / 'other').write_bytes(bytes(512 * 1024 - left))


def lock(disk):
    subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)


def files(disk):
    return sorted(
        path.name for path in disk.rglob('*') if path.is_file() and path.name != 'other'
    )


def check_line(result, *words):
    assert result.returncode == 1, result.stdout + result.stderr
    assert 'Traceback' not in result.stdout + result.stderr
    assert all(word in result.stderr.splitlines()[-1] for word in words), result.stderr


def test_an_earlier_file_stays(disk):
    write_json(disk / 'results.json', ['earlier'])
    fill(disk, 16 * 1024)
    with pytest.raises(OSError, match='No space left.*results.json') as error:
        write_json(disk / 'results.json', 'x' * 100_000)
    assert '\n' not in str(error.value)
    assert json.loads((disk / 'results.json').read_text()) == ['earlier']
    with (
        pytest.raises(OSError, match='No space left.*a.bin'),
        whole_file(disk / 'a.bin') as unfinished,
        unfinished.open('wb') as file,
    ):
        file.write(bytes(100_000))
    assert files(disk) == ['results.json']
    lock(disk)
    with pytest.raises(OSError, match='Read-only.*b.json'):
        check_writable(disk / 'b.json')
    with pytest.raises(OSError, match='Read-only.*new'):
        check_writable(disk / 'new' / 'b.json')


def test_synthrs(disk):
    with pytest.raises(OSError, match=r'No space left.*synthrs_\w+\.jpg') as error:
        generate_synthrs(disk, dict(train=200, val=1, test=1), progress=False)
    assert '\n' not in str(error.value)
    for path in disk.rglob('*.jpg'):
        assert cv2.imread(str(path)) is not None, path
    assert not list(disk.rglob('*.unfinished'))


def test_infer(disk, fork_tool, tiny_config, tiny_checkpoint, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'large.png'), noise)
    model = ['--config', tiny_config, '--checkpoint', tiny_checkpoint]
    arguments = ['infer.py', tmp_path / 'large.png', 'the pool', *model]
    fill(disk, 64 * 1024)
    result = fork_tool(*arguments, '--out-dir', disk, cwd=tmp_path).wait()
    check_line(result, 'infer.py: ', 'No space left', 'overlay.png')
    assert files(disk) == []
    lock(disk)
    result = fork_tool(*arguments, '--out-dir', disk, cwd=tmp_path).wait()
    check_line(result, 'infer.py: ', 'Read-only', str(disk))


def test_testing(disk, fork_tool, tiny_config, tiny_checkpoint, tmp_path):
    arguments = ['test.py', tiny_config, tiny_checkpoint, '--work-dir', tmp_path / 'w']
    (disk / 'results.jsonl').write_text('earlier')
    fill(disk, 8 * 1024)
    shown = ['--show-dir', disk / 'shown', '--out', disk / 'results.jsonl']
    result = fork_tool(*arguments, *shown, cwd=tmp_path).wait()
    check_line(result, 'test.py: ', 'shown', 'No space left')
    assert files(disk) == ['results.jsonl']
    assert (disk / 'results.jsonl').read_text() == 'earlier'
    lock(disk)
    result = fork_tool(*arguments, '--out', disk / 'r.jsonl', cwd=tmp_path).wait()
    check_line(result, 'test.py: ', 'Read-only', str(disk))


def test_training(disk, fork_tool, tiny_config, tmp_path):
    folder = disk / 'run'
    arguments = ['train.py', tiny_config, '--work-dir', folder]
    result = fork_tool(*arguments, cwd=tmp_path).wait()
    check_line(result, 'train.py: ', 'cannot be written', str(folder))
    assert not list(disk.rglob('*.unfinished'))
    lock(disk)
    result = fork_tool(*arguments, cwd=tmp_path).wait()
    check_line(result, 'train.py: ', 'Read-only', str(folder))


def test_checking(disk, tiny_data, repo_root, fork_tool):
    lock(disk)
    arguments = [repo_root / 'configs/cadformer_tiny_synthrs.py', '--quiet']
    arguments += ['--data-root', tiny_data, '--json', disk / 'report.json']
    tool = 'analysis/check_dataset.py'
    result = fork_tool(tool, *arguments, cwd=repo_root).wait()
    assert result.returncode == 2
    assert 'Read-only' in result.stderr.splitlines()[-1]
    assert 'report.json' in result.stderr.splitlines()[-1]
    assert not result.stdout  # before any time is lost
