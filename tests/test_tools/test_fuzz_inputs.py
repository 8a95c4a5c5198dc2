# SPDX-License-Identifier: Apache-2.0
"""Damaged files of every kind: an error that names the file, or none."""

import pytest


@pytest.fixture
def fuzz(load_tool, repo_root, monkeypatch):
    monkeypatch.syspath_prepend(repo_root / 'tools/misc')
    return load_tool('misc/fuzz_inputs.py')


def test_damaged_files_end_in_one_line(fuzz):
    assert fuzz.fuzz(range(12 * len(fuzz.READERS)), seed=7) == []


def test_what_is_wrong_is_found(fuzz, monkeypatch):
    def fails(root, file):
        if file.read_bytes() == b'good':
            return
        raise KeyError('not an error of a user')

    def is_silent(root, file):
        if file.read_bytes() != b'good':
            raise ValueError('something is wrong somewhere')

    def says_which(root, file):
        if file.read_bytes() != b'good':
            raise SystemExit(f'{file} is damaged')

    readers = (fails, is_silent, says_which)
    monkeypatch.setattr(fuzz, 'READERS', {'a': readers})
    monkeypatch.setattr(
        fuzz, 'write_files', lambda root: (root / 'a').write_bytes(b'good')
    )
    found = fuzz.fuzz(range(3), seed=0)
    assert len(found) == 6
    assert sum('KeyError' in text for text in found) == 3
    assert sum('no file in: something is wrong' in text for text in found) == 3
