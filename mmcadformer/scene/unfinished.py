# SPDX-License-Identifier: Apache-2.0
"""What an unfinished run has on disk, so that it can be killed and go on.

Every file appears complete or not at all. Once the results are written the whole
folder goes away.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

FORMAT = 1
_PLAN = 'plan.json'
_RESULTS = 'results'


class Workspace:
    """Folder of a run.

    Args:
        root: The folder, made if needed. Only what runs put there is ever deleted.
        plan: Everything that the files in it depend on, for JSON.
        restart: Throw an unfinished run away instead of going on with it.

    Attributes:
        resumed: Whether an unfinished run was found.

    Raises:
        ValueError: If the unfinished run has another plan.
    """

    def __init__(self, root: Path, plan: dict, restart: bool = False) -> None:
        self.root = root
        plan = json.loads(json.dumps(dict(plan, format=FORMAT)))
        self.resumed = (root / _PLAN).is_file() and not restart
        if self.resumed:
            self._compare(plan)
            return
        root.mkdir(parents=True, exist_ok=True)
        self._clear()
        part = root / f'{_PLAN}.part'
        part.write_text(json.dumps(plan, indent=1), encoding='utf-8')
        os.replace(part, root / _PLAN)

    def has_batch(self, index: int) -> bool:
        """Whether the network's answer to a batch is there."""
        return self._batch(index).is_file()

    def save_batch(self, index: int, values: np.ndarray, scores: np.ndarray) -> None:
        """Keeps the answer to a batch.

        Args:
            index: Of the batch.
            values: uint16 (tiles, expressions, size, size).
            scores: Presence (tiles, expressions), NaN for tiles without data.
        """
        self._save(self._scores(index), scores)
        self._save(self._batch(index), values)

    def load_batch(self, index: int) -> np.ndarray:
        """The values of a batch, read from disk as they are used."""
        return np.load(self._batch(index), mmap_mode='r')

    def load_scores(self, index: int) -> np.ndarray:
        """The presence scores of a batch."""
        return np.load(self._scores(index))

    def drop_batch(self, index: int) -> None:
        """Frees the space of the values; the scores stay."""
        self._batch(index).unlink(missing_ok=True)

    def has_strip(self, index: int) -> bool:
        """Whether some rows of the scene are finished."""
        return self._strip(index).is_file()

    def save_strip(self, index: int, values: np.ndarray) -> None:
        """Keeps finished rows: uint16 (expressions, rows, width)."""
        self._save(self._strip(index), values)

    def load_strip(self, index: int) -> np.ndarray:
        """Finished rows, read from disk as they are used."""
        return np.load(self._strip(index), mmap_mode='r')

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

    def _batch(self, index: int) -> Path:
        return self.root / f'batch_{index:06d}.npy'

    def _scores(self, index: int) -> Path:
        return self.root / f'scores_{index:06d}.npy'

    def _strip(self, index: int) -> Path:
        return self.root / f'strip_{index:06d}.npy'

    def _clear(self) -> None:
        shutil.rmtree(self.root / _RESULTS, ignore_errors=True)
        for pattern in ('batch_*.npy*', 'scores_*.npy*', 'strip_*.npy*'):
            for file in self.root.glob(pattern):
                file.unlink()
        # The plan goes last: without it the other files would have no meaning.
        for file in self.root.glob(f'{_PLAN}*'):
            file.unlink()

    def _save(self, file: Path, array: np.ndarray) -> None:
        part = file.with_name(f'{file.name}.part')
        try:
            with part.open('wb') as stream:
                # np.save would not notice that the disk is full in the end.
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(stream, header)
                stream.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise OSError(f'{part} cannot be written: {error}') from None
        os.replace(part, file)

    def _compare(self, plan: dict) -> None:
        found = json.loads((self.root / _PLAN).read_text(encoding='utf-8'))
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
