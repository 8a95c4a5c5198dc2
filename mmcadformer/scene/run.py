# SPDX-License-Identifier: Apache-2.0
"""From tiles to finished rows of the scene, with nothing but files to remember."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..utils.progress import progress_bar
from .aoi import AreaOfInterest
from .blending import StripBlender, quantise
from .network import TileNetwork
from .presence import presence_score
from .rasters import BLOCK
from .reader import SceneReader
from .tiling import Batch, Tile, Tiling
from .unfinished import Workspace


class SceneRun:
    """Looks at a scene and leaves finished rows in the workspace.

    Args:
        reader: The open scene.
        network: Looks at the tiles.
        tiling: How the scene is cut.
        expressions: What to look for.
        presence: Tiles with a lower score say nothing.
        aoi: Where to look; None for everywhere.
        work: Where everything is kept.
    """

    def __init__(
        self,
        reader: SceneReader,
        network: TileNetwork,
        tiling: Tiling,
        expressions: Sequence[str],
        presence: float,
        aoi: AreaOfInterest | None,
        work: Workspace,
    ) -> None:
        self.reader, self.network, self.tiling = reader, network, tiling
        self.expressions, self.presence = expressions, presence
        self.aoi, self.work = aoi, work
        self.height, self.width = reader.height, reader.width
        self.strips = range(-(-self.height // BLOCK))
        self.batches = tiling.batches(
            self.height,
            self.width,
            max(1, network.pairs // len(expressions)),
            aoi.touches if aoi is not None else None,
        )

    def look(self, progress: bool) -> None:
        """Does what an earlier run hasn't done.

        Args:
            progress: Show a progress bar.
        """
        done = sum(self._is_done(batch) for batch in self.batches)
        bar = progress_bar(total=len(self.batches), done=done, show=progress)
        for strip in self.strips:
            if self.work.has_strip(strip):
                continue
            here = [batch for batch in self.batches if _meets(batch, strip)]
            for batch in here:
                if not self.work.has_batch(batch.index):
                    self._look_at(batch)
                    bar.update()
            self.work.save_strip(strip, self._blend(strip, here))
            for batch in here:
                if not self._is_open(batch):
                    self.work.drop_batch(batch.index)
        bar.close()

    def rows(self, number: int) -> Iterator[tuple[int, np.ndarray]]:
        """The finished probabilities of an expression, read from disk.

        Args:
            number: Of the expression, from 0.

        Yields:
            First row and uint16 (rows, width) of each strip, from top to bottom.
        """
        for strip in self.strips:
            yield strip * BLOCK, self.work.load_strip(strip)[number]

    def tile_numbers(self, number: int) -> dict:
        """What the presence scores of an expression say, for the summary.

        Args:
            number: Of the expression, from 0.
        """
        scores = [
            self.work.load_scores(batch.index)[:, number] for batch in self.batches
        ]
        scores = np.concatenate(scores)
        scores = scores[~np.isnan(scores)]
        return dict(
            tiles=len(scores),
            tiles_with_object=int((scores >= self.presence).sum()),
            highest_presence=round(float(scores.max()), 6) if len(scores) else None,
        )

    def _is_done(self, batch: Batch) -> bool:
        return self.work.has_batch(batch.index) or not self._is_open(batch)

    def _is_open(self, batch: Batch) -> bool:
        """Whether unfinished rows need the batch."""
        first, last = batch.start // BLOCK, (batch.stop - 1) // BLOCK
        return any(
            not self.work.has_strip(strip)
            for strip in range(first, min(last, self.strips[-1]) + 1)
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
        self.work.save_batch(batch.index, values, scores)

    def _read_tile(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Picture and data mask of a tile, filled up where it sticks out."""
        height = min(tile.size, self.height - tile.row)
        width = min(tile.size, self.width - tile.column)
        window = (tile.row, tile.column, height, width)
        picture, valid = self.reader.read(*window, self.network.fill)
        if self.aoi is not None:
            valid &= self.aoi.mask(*window)
        rest = ((0, tile.size - height), (0, tile.size - width))
        if any(amount for _, amount in rest):
            whole = np.full((tile.size, tile.size, 3), self.network.fill, np.uint8)
            whole[:height, :width] = picture
            picture, valid = whole, np.pad(valid, rest)
        return picture, valid

    def _blend(self, strip: int, batches: list[Batch]) -> np.ndarray:
        """Finished rows: uint16 (expressions, rows, width)."""
        start = strip * BLOCK
        stop = min(start + BLOCK, self.height)
        window = (start, 0, stop - start, self.width)
        valid = self.reader.read_valid(*window)
        if self.aoi is not None:
            valid &= self.aoi.mask(*window)
        answers = [
            (
                batch,
                self.work.load_batch(batch.index),
                self.work.load_scores(batch.index),
            )
            for batch in batches
        ]
        rows = []
        for number in range(len(self.expressions)):
            blender = StripBlender(start, stop, self.width)
            for batch, values, scores in answers:
                for index, tile in enumerate(batch.tiles):
                    if scores[index, number] >= self.presence:
                        blender.add(
                            tile, values[index, number], self.tiling.shared(tile.size)
                        )
            rows.append(blender.result(valid))
        return np.stack(rows)


def _meets(batch: Batch, strip: int) -> bool:
    return batch.start < (strip + 1) * BLOCK and batch.stop > strip * BLOCK
