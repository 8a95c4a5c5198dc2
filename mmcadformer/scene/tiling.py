# SPDX-License-Identifier: Apache-2.0
"""Which tiles cover a scene, and their weighted mean where they overlap.

Probabilities and weights are whole numbers, which makes the mean exact: it depends
neither on the order of the tiles nor on where an interrupted run went on, and tiles
that agree give what each of them says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

MAX_WEIGHT = 63
# Probability 1. The next number, the largest of 16 bits, stands for "no data".
FULL = 65534
NO_DATA = 65535


class Tile(NamedTuple):
    """A square part of the scene, in pixels; may stick out of a smaller scene."""

    row: int
    column: int
    size: int

    @property
    def stop(self) -> int:
        """First row below the tile."""
        return self.row + self.size


@dataclass(frozen=True)
class Batch:
    """Tiles of one size that go through the network together."""

    index: int
    tiles: tuple[Tile, ...]

    @property
    def start(self) -> int:
        """First row that the tiles cover."""
        return min(tile.row for tile in self.tiles)

    @property
    def stop(self) -> int:
        """First row below all tiles."""
        return max(tile.stop for tile in self.tiles)


@dataclass(frozen=True)
class Tiling:
    """How a scene is cut."""

    # Sides of the tiles in scene pixels. Each size covers the whole scene and is a
    # scale of its own, because the network resizes every tile to its input size;
    # several are averaged.
    sizes: tuple[int, ...] = (480,)
    # Part of a tile's side that it shares with the next one, 0...0.9.
    overlap: float = 0.25

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ValueError('tile size: give one or more')
        for size in self.sizes:
            if not 16 <= size <= 8192:
                raise ValueError(f'tile size {size} is out of range: 16...8192 px')
        if len(set(self.sizes)) != len(self.sizes):
            raise ValueError(f'tile sizes {list(self.sizes)} name one size twice')
        if not 0 <= self.overlap <= 0.9:
            raise ValueError(f'overlap {self.overlap} is out of range: 0...0.9')

    def shared(self, size: int) -> int:
        """Pixels that neighbours of this size share."""
        return round(size * self.overlap)

    def batches(
        self,
        height: int,
        width: int,
        tiles_per_batch: int,
        wanted: Callable[[Tile], bool] | None = None,
    ) -> list[Batch]:
        """The tiles that are ``wanted``, or all, in batches from top to bottom."""
        groups = []
        for size in self.sizes:
            step = size - self.shared(size)
            tiles = [
                Tile(row, column, size)
                for row in _tile_starts(height, size, step)
                for column in _tile_starts(width, size, step)
            ]
            if wanted is not None:
                tiles = [tile for tile in tiles if wanted(tile)]
            groups += [
                tuple(tiles[i : i + tiles_per_batch])
                for i in range(0, len(tiles), tiles_per_batch)
            ]
        groups.sort(key=lambda tiles: (tiles[0].row, tiles[0].size, tiles[0].column))
        return [Batch(index, tiles) for index, tiles in enumerate(groups)]


def _tile_starts(length: int, size: int, step: int) -> list[int]:
    """Where tiles begin along one axis.

    The last one is moved inwards to end with the scene, so that every tile is full
    of scene unless the scene is smaller than a tile.
    """
    if length <= size:
        return [0]
    return [*range(0, length - size, step), length - size]


@functools.lru_cache(maxsize=8)
def tile_weights(size: int, shared: int) -> np.ndarray:
    """How much each pixel of a tile counts: a smooth hill with a flat top.

    Near its border a network sees less context, so the neighbour counts more there:
    the slope is as wide as the pixels that neighbours share. The result is uint32
    (size, size), from 1 to ``MAX_WEIGHT ** 2``.
    """
    place = np.arange(size)
    to_border = np.minimum(place, size - 1 - place) + 0.5
    slope = np.clip(to_border / max(shared, 0.5), 0, 1)
    weights = np.rint(MAX_WEIGHT * np.sin(np.pi / 2 * slope) ** 2)
    weights = np.maximum(weights, 1).astype(np.uint32)
    return np.outer(weights, weights)


def quantise(probabilities: np.ndarray) -> np.ndarray:
    """Turns probabilities 0...1 into uint16 0...FULL; refuses NaN by a ValueError."""
    if np.isnan(probabilities).any():
        raise ValueError(
            'the network gives NaN for a part of the scene: check the checkpoint, or '
            'run without mixed precision'
        )
    return np.rint(np.clip(probabilities, 0, 1) * FULL).astype(np.uint16)


class StripBlender:
    """Weighted mean of the tiles over some rows of the scene, for one expression."""

    def __init__(self, start: int, stop: int, width: int) -> None:
        self.start, self.stop, self.width = start, stop, width
        self._sum = np.zeros((stop - start, width), np.uint64)
        self._weight = np.zeros((stop - start, width), np.uint32)

    def add(self, tile: Tile, values: np.ndarray, shared: int) -> None:
        """Adds the part of a tile's uint16 (size, size) that lies in the strip."""
        top, bottom = max(tile.row, self.start), min(tile.stop, self.stop)
        right = min(tile.column + tile.size, self.width)
        if top >= bottom:
            return
        inside = np.s_[top - tile.row : bottom - tile.row, : right - tile.column]
        here = np.s_[top - self.start : bottom - self.start, tile.column : right]
        weights = tile_weights(tile.size, shared)[inside]
        self._weight[here] += weights
        self._sum[here] += weights * values[inside].astype(np.uint64)

    def result(self, valid: np.ndarray) -> np.ndarray:
        """The mean, uint16 (rows, width): 0...FULL, 0 where no tile says anything.

        It is NO_DATA where ``valid``, bool (rows, width), is False.
        """
        weight = np.maximum(self._weight, 1).astype(np.uint64)
        mean = ((self._sum + weight // np.uint64(2)) // weight).astype(np.uint16)
        mean[~valid] = NO_DATA
        return mean
