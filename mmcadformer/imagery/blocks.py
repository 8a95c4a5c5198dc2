# SPDX-License-Identifier: Apache-2.0
"""Large compressed blocks, each decoded once though many windows need it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import rasterio
from rasterio.windows import Window

# Bytes of decoded blocks that are kept: two rows of blocks of 1024 x 1024 pixels, three
# bands of 16 bits, of a scene that is 20,000 pixels wide.
BUDGET = 2**28
# Blocks of fewer pixels are left to GDAL, whose cache serves them well.
_LARGE = 512 * 512


def block_bytes(file: rasterio.DatasetReader) -> int:
    """Bytes of a decoded block, with all bands where they are stored together."""
    height, width = file.block_shapes[0]
    together = file.profile.get('interleave') == 'pixel'
    # NumPy has no complex whole numbers.
    names = ['complex64' if name == 'complex_int16' else name for name in file.dtypes]
    sizes = [np.dtype(name).itemsize for name in names]
    return height * width * (sum(sizes) if together else max(sizes))


class BlockCache:
    """Reads windows from whole blocks, and keeps the blocks last used.

    GDAL has a cache of its own, but with JPEG 2000 in several bands it decodes a block
    of a megapixel for every window, and large blocks push each other out.

    Args:
        file: An open raster.
        budget: Bytes of blocks to keep.
    """

    def __init__(self, file: rasterio.DatasetReader, budget: int = BUDGET) -> None:
        self._file = file
        self._budget = budget
        self._blocks: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._used = 0

    @staticmethod
    def helps(file: rasterio.DatasetReader) -> bool:
        """Whether the blocks of a file are large, but not too large to keep."""
        height, width = file.block_shapes[0]
        alike = len(set(file.block_shapes)) == 1
        return alike and height * width >= _LARGE and block_bytes(file) <= BUDGET

    def read(self, bands: Sequence[int], window: Window) -> np.ndarray:
        """As ``file.read(bands, window=window)`` for a window inside the file.

        Raises:
            rasterio.errors.RasterioError: If the file is damaged.
        """
        height, width = self._file.block_shapes[0]
        top, left = int(window.row_off), int(window.col_off)
        bottom, right = top + int(window.height), left + int(window.width)
        bands = tuple(bands)
        dtype = self._block(bands, top // height, left // width).dtype
        result = np.empty((len(bands), bottom - top, right - left), dtype)
        for row in range(top // height, -(-bottom // height)):
            for column in range(left // width, -(-right // width)):
                upper, first = row * height, column * width
                part = self._block(bands, row, column)[
                    :,
                    max(top - upper, 0) : bottom - upper,
                    max(left - first, 0) : right - first,
                ]
                y, x = max(upper - top, 0), max(first - left, 0)
                result[:, y : y + part.shape[1], x : x + part.shape[2]] = part
        return result

    def _block(self, bands: tuple[int, ...], row: int, column: int) -> np.ndarray:
        key = bands, row, column
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        height, width = self._file.block_shapes[0]
        window = Window(
            column * width,
            row * height,
            min(width, self._file.width - column * width),
            min(height, self._file.height - row * height),
        )
        block = self._file.read(list(bands), window=window)
        self._used += block.nbytes
        while self._blocks and self._used > self._budget:
            _, oldest = self._blocks.popitem(last=False)
            self._used -= oldest.nbytes
        self._blocks[key] = block
        return block
