# SPDX-License-Identifier: Apache-2.0
"""Damaged files of every kind: an error that names the file, or none."""


def test_damaged_files_end_in_one_line(load_tool):
    fuzz = load_tool('misc/fuzz_inputs.py')
    assert fuzz.fuzz(range(10 * len(fuzz.READERS)), seed=7) == []


def test_what_is_wrong_is_found(load_tool, tmp_path, monkeypatch):
    fuzz = load_tool('misc/fuzz_inputs.py')

    def fails(root, file):
        if file.read_bytes() == b'good':
            return
        raise KeyError('not an error of a user')

    def is_silent(root, file):
        if file.read_bytes() != b'good':
            raise ValueError('something is wrong somewhere')

    monkeypatch.setattr(fuzz, 'READERS', {'a': (fails, is_silent)})
    monkeypatch.setattr(
        fuzz, 'write_files', lambda root: (root / 'a').write_bytes(b'good')
    )
    found = fuzz.fuzz(range(3), seed=0)
    assert sum('KeyError' in text for text in found) == 3
    assert sum('no file in: something is wrong' in text for text in found) == 3
