# SPDX-License-Identifier: Apache-2.0
"""From tiles to finished rows of the scene, with nothing but files to remember."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ..utils.progress import progress_bar
from .aoi import AreaOfInterest
from .network import TileNetwork
from .presence import presence_score
from .rasters import BLOCK
from .reader import SceneReader
from .run_files import RunFiles
from .tiling import Batch, StripBlender, Tile, Tiling, quantise


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

    def look(self, progress: bool) -> None:
        """Does what an earlier run hasn't done, with or without a progress bar."""
        done = sum(
            self.files.has('batch', batch.index) or not self._is_open(batch)
            for batch in self.batches
        )
        bar: tqdm = progress_bar(total=len(self.batches), done=done, show=progress)
        for strip in self.strips:
            if self.files.has('strip', strip):
                continue
            here = [batch for batch in self.batches if strip in _strips_of(batch)]
            for batch in here:
                if not self.files.has('batch', batch.index):
                    self._look_at(batch)
                    bar.update()
            self.files.save('strip', strip, self._blend(strip, here))
            for batch in here:
                if not self._is_open(batch):
                    self.files.drop('batch', batch.index)
        bar.close()

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
            for index, valid, answer in zip(filled, masks, answers, strict=True):
                values[index] = quantise(answer)
                scores[index] = [presence_score(map_, valid) for map_ in answer]
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
