# SPDX-License-Identifier: Apache-2.0
"""From tiles to finished rows of the scene, with nothing but files to remember."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..utils.files import read_json, whole_file, write_json
from ..utils.log import warn
from ..utils.progress import progress_bar
from .aoi import AreaOfInterest
from .network import TileNetwork
from .presence import tile_scores
from .provenance import now
from .rasters import BLOCK
from .reader import SceneReader
from .tiling import Batch, StripBlender, Tile, Tiling, quantise

FORMAT = 2
_PLAN = 'plan.json'
_DAMAGED = 'damaged'
_RESULTS = 'results'


class RunFiles:
    """Folder of an unfinished run, from which it goes on after it was killed.

    Every file appears complete or not at all. Arrays have a kind and a number:
    'strip': finished rows, uint16 (expressions, rows, width). 'batch': answers of the
    network, uint16 (tiles, expressions, size, size). 'scores': presence in a batch,
    (tiles, expressions), NaN for tiles without data.

    Only what runs put into the folder ``root`` is ever deleted. The plan is everything
    that its files depend on: an unfinished run with another one is a ValueError,
    unless a restart throws it away, or the scene was damaged when it was last read.
    When the run ``started`` is kept beside it.
    """

    def __init__(self, root: Path, plan: dict, restart: bool = False) -> None:
        self.root = root
        self.network: str = plan['network']
        plan = json.loads(json.dumps(dict(plan, format=FORMAT)))
        if (root / _PLAN).is_file() and not restart:
            if not self._differs(plan):
                self.started: str = self._kept_plan()['started']
                return
            warn(
                f'{plan["scene"]["path"]} was damaged, and the file or the settings '
                'have changed: its run begins anew'
            )
        root.mkdir(parents=True, exist_ok=True)
        self._clear()
        self.started = now()
        write_json(root / _PLAN, dict(plan, started=self.started))

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
        """An array, read from disk as it is used; ValueError if it is damaged."""
        file = self._file(kind, index)
        try:
            return np.load(file, mmap_mode='r')
        except OSError:
            raise
        except Exception as error:  # whatever a damaged header makes of the reader
            raise _damaged(file, error) from None

    def drop(self, kind: str, index: int) -> None:
        """Frees the space of an array."""
        self._file(kind, index).unlink(missing_ok=True)

    def mark_damaged(self) -> None:
        """Notes that the scene can't be read to its end: another file may follow."""
        (self.root / _DAMAGED).touch()

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
        arrays = ('batch_*.npy*', 'scores_*.npy*', 'strip_*.npy*')
        for pattern in (*arrays, _DAMAGED, f'{_PLAN}*'):
            for file in self.root.glob(pattern):
                file.unlink()

    def _kept_plan(self) -> dict:
        file = self.root / _PLAN
        try:
            found = read_json(file)
        except ValueError as error:
            raise _damaged(file, error) from None
        if not isinstance(found, dict) or not isinstance(found.get('started'), str):
            raise _damaged(file, 'it does not say when the run was started')
        return found

    def _differs(self, plan: dict) -> bool:
        """Whether the plan has changed: an error, unless the scene was damaged."""
        found = self._kept_plan()
        # As text, in which NaN equals NaN.
        different = [
            key for key in plan if json.dumps(found.get(key)) != json.dumps(plan[key])
        ]
        if different and (self.root / _DAMAGED).exists():
            return True
        if different:
            raise ValueError(
                f'{self.root} is an unfinished run with other settings '
                f'({", ".join(different)}): run it again with those to go on, choose '
                'another output folder, or drop it with --restart (restart=True)'
            )
        return False


def _damaged(file: Path, reason: object) -> ValueError:
    return ValueError(
        f'{file} of an unfinished run is damaged ({str(reason)[:200]}): drop the run '
        'with --restart (restart=True)'
    )


@dataclass
class SceneRun:
    """Looks at an open scene, or a part of it, and leaves finished rows on disk.

    Tiles with a lower presence score than ``presence`` say nothing.
    """

    reader: SceneReader
    network: TileNetwork
    tiling: Tiling
    expressions: Sequence[str]
    presence: float
    aoi: AreaOfInterest | None
    files: RunFiles

    def __post_init__(self) -> None:
        self.height, self.width = self.reader.height, self.reader.width
        self.strips = range(-(-self.height // BLOCK))
        self.batches = self.tiling.batches(
            self.height,
            self.width,
            max(1, self.network.pairs // len(self.expressions)),
            self.aoi.touches if self.aoi is not None else None,
        )

    def look(self, progress: bool | tqdm) -> None:
        """Does what an earlier run hasn't done.

        Args:
            progress: Whether to show a bar; or a bar that many scenes share.

        Raises:
            OSError: If a file of the run can't be written.
            ValueError: If the scene is damaged.
        """
        done = sum(
            self.files.has('batch', batch.index) or not self._is_open(batch)
            for batch in self.batches
        )
        if isinstance(progress, tqdm):
            bar = progress
            bar.total = (bar.total or 0) + len(self.batches)
            bar.update(done)
        else:
            bar = progress_bar(total=len(self.batches), done=done, show=progress)
        try:
            for strip in self.strips:
                if not self.files.has('strip', strip):
                    self._finish(strip, bar)
        except ValueError:
            self.files.mark_damaged()
            raise
        if bar is not progress:
            bar.close()

    def _finish(self, strip: int, bar: tqdm) -> None:
        """From tiles to finished rows."""
        here = [batch for batch in self.batches if strip in _strips_of(batch)]
        for batch in here:
            if not self.files.has('batch', batch.index):
                self._look_at(batch)
                bar.update()
        self.files.save('strip', strip, self._blend(strip, here))
        for batch in here:
            if not self._is_open(batch):
                self.files.drop('batch', batch.index)

    def rows(self, number: int) -> Iterator[tuple[int, np.ndarray]]:
        """The finished probabilities of the ``number``-th expression, from disk.

        Yields:
            First row and uint16 (rows, width) of each strip, from top to bottom.
        """
        for strip in self.strips:
            yield strip * BLOCK, self.files.load('strip', strip)[number]

    def tile_numbers(self, number: int) -> dict:
        """What the presence scores of the ``number``-th expression say."""
        # Copies, since each view would keep its file open.
        scores = np.concatenate(
            [
                self.files.load('scores', batch.index)[:, number].copy()
                for batch in self.batches
            ]
        )
        scores = scores[~np.isnan(scores)]
        return dict(
            tiles=len(scores),
            tiles_with_object=int((scores >= self.presence).sum()),
            highest_presence=round(float(scores.max()), 6) if len(scores) else None,
        )

    def _is_open(self, batch: Batch) -> bool:
        """Whether unfinished rows need the batch."""
        return any(
            strip in self.strips and not self.files.has('strip', strip)
            for strip in _strips_of(batch)
        )

    def _look_at(self, batch: Batch) -> None:
        """Asks the network about the tiles that have any data."""
        size = batch.tiles[0].size
        shape = (len(batch.tiles), len(self.expressions))
        values = np.zeros((*shape, size, size), np.uint16)
        scores = np.full(shape, np.nan, np.float32)
        pictures, masks, filled = [], [], []
        for index, tile in enumerate(batch.tiles):
            picture, valid = self._read_tile(tile)
            if valid.any():
                pictures.append(picture)
                masks.append(valid)
                filled.append(index)
        if filled:
            answers = self.network(pictures, self.expressions)
            for index, answer in zip(filled, answers, strict=True):
                values[index] = quantise(answer)
            scores[filled] = tile_scores(self.network, answers, masks)
        self.files.save('scores', batch.index, scores)
        self.files.save('batch', batch.index, values)  # the last: it counts as done

    def _read_tile(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Picture and data mask of a tile, filled up where it sticks out."""
        height = min(tile.size, self.height - tile.row)
        width = min(tile.size, self.width - tile.column)
        window = (tile.row, tile.column, height, width)
        picture, valid = self.reader.read(*window, self.network.fill)
        if self.aoi is not None:
            valid &= self.aoi.mask(*window)
        whole = np.full((tile.size, tile.size, 3), self.network.fill, np.uint8)
        whole[:height, :width] = picture
        return whole, np.pad(valid, ((0, tile.size - height), (0, tile.size - width)))

    def _blend(self, strip: int, batches: list[Batch]) -> np.ndarray:
        """Finished rows: uint16 (expressions, rows, width)."""
        start = strip * BLOCK
        stop = min(start + BLOCK, self.height)
        window = (start, 0, stop - start, self.width)
        valid = self.reader.read_valid(*window)
        if self.aoi is not None:
            valid &= self.aoi.mask(*window)
        load = self.files.load
        answers = [
            (batch.tiles, load('batch', batch.index), load('scores', batch.index))
            for batch in batches
        ]
        rows = []
        for number in range(len(self.expressions)):
            blender = StripBlender(start, stop, self.width)
            for tiles, values, scores in answers:
                for tile, value, score in zip(tiles, values, scores, strict=True):
                    if score[number] >= self.presence:
                        shared = self.tiling.shared(tile.size)
                        blender.add(tile, value[number], shared)
            rows.append(blender.result(valid))
        return np.stack(rows)


def _strips_of(batch: Batch) -> range:
    """Strips of rows that the tiles of a batch meet; some may be below the scene."""
    return range(batch.start // BLOCK, (batch.stop - 1) // BLOCK + 1)
