# SPDX-License-Identifier: Apache-2.0
"""Which pixels lie in outlines that follow the borders of pixels.

GDAL's rasteriser looks at every edge for every row, which takes minutes for one
river. Edges between pixels need no geometry: going along a row, each vertical edge
that is crossed leads into a polygon or out of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely


class PixelOutlines:
    """Polygons with whole coordinates and edges along rows and columns.

    Args:
        polygons: Without common area; x is the column and y the row.
    """

    def __init__(self, polygons: Sequence[shapely.Polygon]) -> None:
        oriented = shapely.orient_polygons(np.array(polygons, dtype=object))
        rings, owners = shapely.get_rings(oriented, return_index=True)
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        corners = np.rint(corners).astype(np.int64)
        before, after = corners[:-1], corners[1:]
        vertical = (ring[:-1] == ring[1:]) & (before[:, 0] == after[:, 0])
        before, after = before[vertical], after[vertical]
        number = owners[ring[:-1][vertical]] + 1
        self._column = before[:, 0]
        self._top = np.minimum(before[:, 1], after[:, 1])
        self._bottom = np.maximum(before[:, 1], after[:, 1])
        # Rings have the inside on the left, so rising rows mean to leave it.
        self._step = np.where(after[:, 1] > before[:, 1], -number, number)

    def labels(self, row: int, shape: tuple[int, int]) -> np.ndarray:
        """Number, from 1, of the polygon around each pixel; 0 outside.

        Args:
            row: First row.
            shape: Rows and width.

        Returns:
            int32 ``shape``.
        """
        height, width = shape
        top = np.maximum(self._top - row, 0)
        length = np.minimum(self._bottom - row, height) - top
        here = length > 0
        top, length = top[here], length[here]
        # One entry per row that an edge runs along.
        first = np.repeat(np.cumsum(length) - length, length)
        rows = np.arange(length.sum()) - first + np.repeat(top, length)
        columns = np.repeat(self._column[here], length)
        steps = np.zeros((height, width + 1), np.int32)
        np.add.at(steps, (rows, columns), np.repeat(self._step[here], length))
        return np.cumsum(steps, axis=1, dtype=np.int32)[:, :width]
