# SPDX-License-Identifier: Apache-2.0
"""Results as georeferenced rasters, written strip by strip."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from .blending import FULL, NO_DATA

BLOCK = 512
MASK_NO_DATA = 255

Strips = Iterable[tuple[int, np.ndarray]]


@dataclass(frozen=True)
class Encoding:
    """How probabilities are stored.

    Attributes:
        dtype: Of the file.
        nodata: Value of pixels without data.
        scale: What a stored value is multiplied with to give the probability.
        encode: From uint16 0...FULL.
    """

    dtype: str
    nodata: float
    scale: float
    encode: Callable[[np.ndarray], np.ndarray]


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(values * np.float32(254 / FULL)).astype(np.uint8)


def _to_float32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / FULL


ENCODINGS = {
    'uint8': Encoding('uint8', 255, 1 / 254, _to_uint8),
    'uint16': Encoding('uint16', NO_DATA, 1 / FULL, np.ndarray.copy),
    'float32': Encoding('float32', float('nan'), 1.0, _to_float32),
}


class RasterWriter:
    """Writes rasters of a scene's size and place.

    Args:
        height, width: In pixels.
        crs: Coordinate system of the scene, or None.
        transform: Geotransform of the scene, or None.
    """

    def __init__(
        self,
        height: int,
        width: int,
        crs: rasterio.crs.CRS | None,
        transform: Affine | None,
    ) -> None:
        self._place = dict(height=height, width=width, crs=crs)
        if transform is not None:
            self._place['transform'] = transform

    def write_probability(
        self, file: Path, strips: Strips, expression: str, encoding: str
    ) -> None:
        """Writes one band of probabilities.

        Args:
            file: A GeoTIFF.
            strips: First row and uint16 (rows, width), top to bottom.
            expression: Becomes the band's description.
            encoding: Key of ``ENCODINGS``.

        Raises:
            OSError: If the file can't be written, or not as a whole.
        """
        form = ENCODINGS[encoding]

        def encoded():
            for row, values in strips:
                stored = form.encode(values)
                stored[values == NO_DATA] = form.nodata
                yield row, stored

        self._write(
            file, encoded(), expression, form.dtype, form.nodata, scale=form.scale
        )

    def write_mask(self, file: Path, strips: Strips, expression: str) -> None:
        """Writes one band with 1 on the object, 0 beside it, 255 without data.

        Raises:
            OSError: If the file can't be written, or not as a whole.
        """
        self._write(file, strips, expression, 'uint8', MASK_NO_DATA)

    def _write(
        self,
        file: Path,
        strips: Strips,
        expression: str,
        dtype: str,
        nodata: float,
        scale: float = 1.0,
    ) -> None:
        try:
            with self._create(file, dtype, nodata) as raster:
                raster.set_band_description(1, expression)
                if scale != 1:
                    raster.scales = (scale,)
                checksum = 0
                for row, values in strips:
                    height, width = values.shape
                    raster.write(values, 1, window=Window(0, row, width, height))
                    checksum = zlib.crc32(np.ascontiguousarray(values), checksum)
            # A disk that is full when the file is closed raises no error.
            complete = _read_checksum(file) == checksum
        except RasterioError:
            complete = False
        if not complete:
            raise OSError(f'{file} could not be written as a whole: is the disk full?')

    def _create(self, file: Path, dtype: str, nodata: float) -> DatasetWriter:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            return rasterio.open(
                file,
                'w',
                driver='GTiff',
                count=1,
                dtype=dtype,
                nodata=nodata,
                tiled=True,
                blockxsize=BLOCK,
                blockysize=BLOCK,
                compress='deflate',
                bigtiff='if_safer',
                **self._place,
            )


def _read_checksum(file: Path) -> int:
    """Of all values of a raster, row by row."""
    checksum = 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        raster = rasterio.open(file)
    with raster:
        for row in range(0, raster.height, BLOCK):
            height = min(BLOCK, raster.height - row)
            window = Window(0, row, raster.width, height)
            checksum = zlib.crc32(raster.read(1, window=window), checksum)
    return checksum


def mask_strip(values: np.ndarray, threshold: float) -> np.ndarray:
    """Mask of some rows from their probabilities.

    Args:
        values: uint16 (rows, width).
        threshold: Probability above which a pixel belongs to the object.

    Returns:
        uint8 (rows, width): 1, 0 or MASK_NO_DATA.
    """
    mask = (values > threshold * FULL).astype(np.uint8)
    mask[values == NO_DATA] = MASK_NO_DATA
    return mask
