# SPDX-License-Identifier: Apache-2.0
"""The finished rows of a scene, read back from the workspace."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .rasters import BLOCK
from .workspace import Workspace


class FinishedScene:
    """Blended probabilities of one expression, in windows.

    Args:
        work: Where they are.
        num_strips: How many strips of ``BLOCK`` rows the scene has.
        number: Of the expression, from 0.
    """

    def __init__(self, work: Workspace, num_strips: int, number: int) -> None:
        self._work, self._num_strips, self._number = work, num_strips, number

    def strips(self) -> Iterator[tuple[int, np.ndarray]]:
        """First row and uint16 (rows, width) of each strip, from top to bottom."""
        for strip in range(self._num_strips):
            yield strip * BLOCK, self._strip(strip)

    def window(self, row: int, column: int, height: int, width: int) -> np.ndarray:
        """uint16 (height, width) of a window inside the scene."""
        parts = []
        for strip in range(row // BLOCK, (row + height - 1) // BLOCK + 1):
            start = strip * BLOCK
            rows = slice(max(row - start, 0), row + height - start)
            parts.append(self._strip(strip)[rows, column : column + width])
        return np.concatenate(parts)

    def _strip(self, strip: int) -> np.ndarray:
        return self._work.load_strip(strip)[self._number]
