# SPDX-License-Identifier: Apache-2.0
"""Files that are either whole or not there."""

import os
import signal
import subprocess
import sys

import pytest

from mmcadformer.utils.files import (
    digest,
    read_json,
    remove_unfinished,
    removed_when_terminated,
    whole_file,
    write_json,
    write_text,
)


def test_a_file_takes_its_place_at_the_end(tmp_path):
    path = tmp_path / 'new' / 'file.txt'
    with whole_file(path) as unfinished:
        unfinished.write_text('whole')
        assert not path.exists()
    assert path.read_text() == 'whole' and os.listdir(path.parent) == ['file.txt']


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / 'file.txt'
    write_text(path, 'old')
    with pytest.raises(KeyError), whole_file(path) as unfinished:
        unfinished.write_text('half')
        raise KeyError
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['file.txt']


def test_a_killed_process_leaves_what_was_there(tmp_path, fork):
    write_text(tmp_path / 'file.txt', 'old')

    def write_half():
        with whole_file(tmp_path / 'file.txt') as unfinished:
            unfinished.write_text('half')
            os.kill(os.getpid(), signal.SIGKILL)

    assert fork(write_half).wait().returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2
    assert (tmp_path / 'file.txt').read_text() == 'old'
    remove_unfinished(tmp_path)
    assert os.listdir(tmp_path) == ['file.txt']


def test_json_comes_back(tmp_path):
    content = dict(words=['Straße'], number=0.1)
    write_json(tmp_path / 'a.json', content)
    assert read_json(tmp_path / 'a.json') == content
    assert digest(content) == digest(dict(number=0.1, words=['Straße']))
    write_json(tmp_path / 'b.json', dict(content, format='kind', version=2))
    assert read_json(tmp_path / 'b.json', 'kind', 2) == content
    with pytest.raises(ValueError, match='its version differs from 1'):
        read_json(tmp_path / 'b.json', 'kind', 1)
    with pytest.raises(ValueError, match="not a 'kind' file"):
        read_json(tmp_path / 'a.json', 'kind', 1)


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.json does not exist'):
        read_json(tmp_path / 'no.json')
    (tmp_path / 'cut.json').write_text('{"a": ')
    with pytest.raises(ValueError, match=r'cut\.json: not valid JSON'):
        read_json(tmp_path / 'cut.json')


IN_A_FINALIZER = """
import os, signal, sys
from mmcadformer.utils.files import removed_when_terminated

class Lost:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
        print('went on')  # nothing that was raised would come out of here

os.mkdir(sys.argv[1])
with removed_when_terminated(sys.argv[1]):
    Lost()
"""


def test_a_terminated_process_takes_its_folder_with_it(tmp_path):
    command = [sys.executable, '-c', IN_A_FINALIZER, tmp_path / 'work']
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, '')
    assert not list(tmp_path.iterdir())


def test_handlers_of_others_stay(tmp_path):
    def mine(*_):
        raise AssertionError

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with removed_when_terminated(tmp_path):
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    with removed_when_terminated(tmp_path):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before and tmp_path.is_dir()
