# SPDX-License-Identifier: Apache-2.0
"""Results as georeferenced rasters, written strip by strip.

They are cloud-optimised GeoTIFFs: with overviews, the smallest first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError  # copying raises it as it is
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ..imagery import open_raster
from ..utils.files import UNFINISHED
from .styles import color_of
from .tiling import FULL, NO_DATA

BLOCK = 512
MASK_NO_DATA = 255
# How probabilities are stored, by type: what stands for 1, and for no data.
ENCODINGS = {
    'uint8': (254, 255),
    'uint16': (FULL, NO_DATA),
    'float32': (1, float('nan')),
}

Strips = Iterable[tuple[int, np.ndarray]]
"""First row and values (rows, width), from top to bottom."""


@dataclass(frozen=True)
class RasterWriter:
    """Writes rasters of one band, of a scene's size in pixels and its place.

    ``tags`` are written into each. Its methods raise an ``OSError`` if a file can't be
    written, or not as a whole.
    """

    height: int
    width: int
    crs: rasterio.crs.CRS | str | None
    transform: Affine | None
    tags: Mapping[str, str] = field(default_factory=dict)

    def write_probability(
        self, file: Path, strips: Strips, expression: str, dtype: str
    ) -> None:
        """Writes probabilities, uint16 0...FULL or NO_DATA.

        The expression becomes the band's description; the type is a key of
        ``ENCODINGS``, whose scale is noted in the file.
        """
        one, no_data = ENCODINGS[dtype]

        def encoded() -> Iterator[tuple[int, np.ndarray]]:
            for row, values in strips:
                stored = values / np.float32(FULL / one)
                if dtype != 'float32':
                    stored = np.rint(stored)
                stored[values == NO_DATA] = no_data
                yield row, stored.astype(dtype)

        self._write(file, encoded(), expression, dtype, no_data, 1 / one)

    def write_mask(
        self, file: Path, strips: Strips, expression: str, number: int = 0
    ) -> None:
        """Writes a mask: uint8, 1 on the object, 0 beside it, 255 without data.

        Its colour is that of the ``number``-th expression.
        """
        colors = {0: (255, 255, 255), 1: color_of(number), MASK_NO_DATA: (0, 0, 0)}
        self._write(file, strips, expression, 'uint8', MASK_NO_DATA, 1, colors)

    def _write(
        self,
        file: Path,
        strips: Strips,
        expression: str,
        dtype: str,
        nodata: float,
        scale: float,
        colors: dict[int, tuple[int, int, int]] | None = None,
    ) -> None:
        profile = dict(
            height=self.height, width=self.width, count=1, dtype=dtype, nodata=nodata,
            driver='GTiff', compress='deflate', bigtiff='if_safer',
            tiled=True, blockxsize=BLOCK, blockysize=BLOCK, crs=self.crs,
        )  # fmt: skip
        if self.transform is not None:
            profile['transform'] = self.transform
        checksum = 0
        # Overviews can be made when all is there.
        plain = file.with_name(f'{file.name}{UNFINISHED}')
        try:
            with open_raster(plain, 'w', **profile) as raster:
                raster.set_band_description(1, expression)
                raster.update_tags(**self.tags)
                if scale != 1:
                    raster.scales = (scale,)
                if colors is not None:
                    raster.write_colormap(1, colors)
                for row, values in strips:
                    window = Window(0, row, values.shape[1], values.shape[0])
                    raster.write(values, 1, window=window)
                    checksum = zlib.crc32(values.tobytes(), checksum)
            rasterio.shutil.copy(
                plain, file, driver='COG', compress='deflate', blocksize=BLOCK,
                bigtiff='if_safer', overview_resampling='average' if colors is None
                else 'mode',
            )  # fmt: skip
            # A disk that is full when the file is closed raises no error.
            complete = _read_checksum(file) == checksum
        except (RasterioError, CPLE_BaseError):
            complete = False
        finally:
            plain.unlink(missing_ok=True)
        if not complete:
            raise OSError(f'{file} could not be written as a whole: is the disk full?')


def _read_checksum(file: Path) -> int:
    checksum = 0
    with open_raster(file) as raster:
        for row in range(0, raster.height, BLOCK):
            window = Window(0, row, raster.width, min(BLOCK, raster.height - row))
            checksum = zlib.crc32(raster.read(1, window=window).tobytes(), checksum)
    return checksum


def mask_strip(values: np.ndarray, threshold: float) -> np.ndarray:
    """Mask of some rows: uint8, 1 above the probability, else 0 or MASK_NO_DATA."""
    mask = (values > threshold * FULL).astype(np.uint8)
    mask[values == NO_DATA] = MASK_NO_DATA
    return mask
