# SPDX-License-Identifier: Apache-2.0
"""Probabilities as whole numbers, and their weighted mean where tiles overlap.

Whole numbers make the mean exact: it depends neither on the order of the tiles nor
on where an interrupted run went on, and tiles that agree give what each of them says.
"""

from __future__ import annotations

import numpy as np

from .tiling import Tile, tile_weights

# Probability 1. The next number, the largest of 16 bits, stands for "no data".
FULL = 65534
NO_DATA = 65535


def quantise(probabilities: np.ndarray) -> np.ndarray:
    """Turns probabilities 0...1 into uint16 0...FULL.

    Raises:
        ValueError: If there is a NaN among them.
    """
    if np.isnan(probabilities).any():
        raise ValueError(
            'the network gives NaN for a part of the scene: check the checkpoint, or '
            'run without mixed precision'
        )
    return np.rint(np.clip(probabilities, 0, 1) * FULL).astype(np.uint16)


class StripBlender:
    """Weighted mean of the tiles over some rows of the scene, for one expression.

    Args:
        start, stop: First row, and first row below the strip.
        width: Of the scene in pixels.
    """

    def __init__(self, start: int, stop: int, width: int) -> None:
        self.start, self.stop, self.width = start, stop, width
        shape = (stop - start, width)
        self._sum = np.zeros(shape, np.uint64)
        self._weight = np.zeros(shape, np.uint32)

    def add(self, tile: Tile, values: np.ndarray, shared: int) -> None:
        """Adds the part of a tile that lies in the strip.

        Args:
            tile: Where it is.
            values: uint16 (size, size), see :func:`quantise`.
            shared: See :func:`~.tiling.tile_weights`.
        """
        top, bottom = max(tile.row, self.start), min(tile.stop, self.stop)
        right = min(tile.column + tile.size, self.width)
        if top >= bottom:
            return
        inside = (
            slice(top - tile.row, bottom - tile.row),
            slice(0, right - tile.column),
        )
        here = (slice(top - self.start, bottom - self.start), slice(tile.column, right))
        weights = tile_weights(tile.size, shared)[inside]
        self._weight[here] += weights
        self._sum[here] += weights * values[inside].astype(np.uint64)

    def result(self, valid: np.ndarray) -> np.ndarray:
        """The mean.

        Args:
            valid: Bool (rows, width), False where the scene has no data.

        Returns:
            uint16 (rows, width): 0...FULL, 0 where no tile says anything, NO_DATA
            where ``valid`` is False.
        """
        weight = np.maximum(self._weight, 1).astype(np.uint64)
        mean = ((self._sum + weight // np.uint64(2)) // weight).astype(np.uint16)
        mean[~valid] = NO_DATA
        return mean
