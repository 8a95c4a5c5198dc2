# SPDX-License-Identifier: Apache-2.0
"""The files of an unfinished run, from which it goes on after it was killed.

Every file appears complete or not at all. Once the results are written the whole
folder goes away.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from ..utils.files import read_json, whole_file, write_json

FORMAT = 1
_PLAN = 'plan.json'
_RESULTS = 'results'


class RunFiles:
    """Folder of a run: arrays by kind and number.

    'strip': finished rows, uint16 (expressions, rows, width). 'batch': answers of the
    network, uint16 (tiles, expressions, size, size). 'scores': presence in a batch,
    (tiles, expressions), NaN for tiles without data.

    Args:
        root: The folder, made if needed. Only what runs put there is ever deleted.
        plan: Everything that the files in it depend on, for JSON.
        restart: Throw an unfinished run away instead of going on with it.

    Raises:
        ValueError: If the unfinished run has another plan.
    """

    def __init__(self, root: Path, plan: dict, restart: bool = False) -> None:
        self.root = root
        plan = json.loads(json.dumps(dict(plan, format=FORMAT)))
        if (root / _PLAN).is_file() and not restart:
            self._compare(plan)
            return
        root.mkdir(parents=True, exist_ok=True)
        self._clear()
        write_json(root / _PLAN, plan)

    def has(self, kind: str, index: int) -> bool:
        """Whether an array is there."""
        return self._file(kind, index).is_file()

    def save(self, kind: str, index: int, array: np.ndarray) -> None:
        """Keeps an array; an ``OSError`` names the file if it can't be written."""
        file = self._file(kind, index)
        try:
            with whole_file(file) as unfinished, unfinished.open('wb') as stream:
                # np.save would not notice that the disk is full in the end.
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(stream, header)
                stream.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise OSError(f'{file} cannot be written: {error}') from None

    def load(self, kind: str, index: int) -> np.ndarray:
        """An array, read from disk as it is used."""
        return np.load(self._file(kind, index), mmap_mode='r')

    def drop(self, kind: str, index: int) -> None:
        """Frees the space of an array."""
        self._file(kind, index).unlink(missing_ok=True)

    def results(self) -> Path:
        """An empty folder in which results are written before they are moved."""
        folder = self.root / _RESULTS
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def remove(self) -> None:
        """Deletes the folder, unless someone else keeps files there."""
        self._clear()
        if not any(self.root.iterdir()):
            self.root.rmdir()

    def _file(self, kind: str, index: int) -> Path:
        return self.root / f'{kind}_{index:06d}.npy'

    def _clear(self) -> None:
        shutil.rmtree(self.root / _RESULTS, ignore_errors=True)
        # The plan goes last: without it the other files would have no meaning.
        for pattern in ('batch_*.npy*', 'scores_*.npy*', 'strip_*.npy*', f'{_PLAN}*'):
            for file in self.root.glob(pattern):
                file.unlink()

    def _compare(self, plan: dict) -> None:
        found = read_json(self.root / _PLAN)
        # As text, in which NaN equals NaN.
        different = [
            key for key in plan if json.dumps(found.get(key)) != json.dumps(plan[key])
        ]
        if different:
            raise ValueError(
                f'{self.root} is an unfinished run with other settings '
                f'({", ".join(different)}): run it again with those to go on, choose '
                'another output folder, or drop it with --restart (restart=True)'
            )
