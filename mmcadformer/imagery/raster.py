# SPDX-License-Identifier: Apache-2.0
"""Rasters read by windows: never more in memory than is asked for."""

from __future__ import annotations

import io
import itertools
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError  # facts of a file raise it as it is
from rasterio.enums import MaskFlags
from rasterio.errors import (
    NodataShadowWarning,
    NotGeoreferencedWarning,
    RasterioError,
)
from rasterio.io import MemoryFile
from rasterio.windows import Window

from .blocks import BlockCache
from .colors import Colors, find_colors
from .decoding import decode_lossy
from .headers import read_header
from .reading import Picture, Reading
from .sources import missing_sources
from .stretch import Stretch, fill_hint, given_stretch, percentile_stretch

# GDAL's own default grows with the machine's memory.
CACHE_MEGABYTES = 128
# The values of a stretch come from this many squares along each axis.
SAMPLE_GRID, SAMPLE_SIDE = 16, 64
# If there is no data in any: side of the squares that cover the raster, and which
# share of their pixels is taken.
SEARCH_SIDE, SEARCH_STEP = 512, 16


class Raster:
    """An open raster, used in a ``with`` statement.

    Args:
        source: Path of any raster that GDAL reads (GeoTIFF, COG, JPEG 2000, PNG,
            VRT...), or the bytes of a file of the formats of :func:`read_header`.
        reading: How to understand its pixels.
        driver: The only driver of GDAL that may open it, for files from others: a
            VRT, for example, may read any file. Neighbours of the file (masks,
            statistics) are not looked at then. Bytes are always from others.
        name: What messages call it; by default the path.

    Attributes:
        path: The name.
        height, width: In pixels.
        count: Of all bands.
        colors: What the bands are.
        stretch: What makes 8 bits of the values; None where they are.
        is_sampled: Whether the stretch comes from a sample of the values.
        depth: Type of the values, such as ``'uint16'`` or ``'uint16 (12 bits)'``.
        notes: What a user should know about how the pixels are understood.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it can't be read, or the options don't fit it.
    """

    colors: Colors
    stretch: Stretch | None

    def __init__(
        self,
        source: str | os.PathLike | bytes,
        reading: Reading | None = None,
        driver: str | None = None,
        name: str | None = None,
    ) -> None:
        self.reading = reading or Reading()
        self.is_sampled = False
        self.notes: list[str] = []
        self._closing = ExitStack()
        if isinstance(source, bytes):
            driver = read_header(source).driver
            self._source = self._closing.enter_context(MemoryFile(source)).name
            self.path = name or 'the picture'
            self._bytes: bytes | None = source
        else:
            self._source, self._bytes = os.fspath(source), None
            self.path = name or self._source
        self._driver = driver
        self._environment = limited_cache(driver is None)
        try:
            with limited_cache(driver is None):
                self._file = self._closing.enter_context(self._open(self._source))
                self._describe()
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Raster:
        self._environment.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        self._environment.__exit__(*exception)

    def close(self) -> None:
        """Closes the file."""
        self._closing.close()

    def read(
        self, row: int, column: int, height: int, width: int, fill: tuple[int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of a window that lies inside the raster.

        Args:
            row, column: Upper left corner.
            height, width: In pixels.
            fill: RGB for pixels without data.

        Returns:
            RGB uint8 (height, width, 3), and bool (height, width) that is True
            where there is data.

        Raises:
            ValueError: If the file is damaged.
        """
        values, valid = self._read(Window(column, row, width, height))
        return self._shown(values, valid, fill), valid

    def read_valid(self, row: int, column: int, height: int, width: int) -> np.ndarray:
        """Where a window has data: bool (height, width)."""
        window = Window(column, row, width, height)
        return self._read(window, self._values_tell_validity)[1]

    def picture(self, fill: tuple[int, int, int]) -> Picture:
        """All of it.

        Args:
            fill: RGB for pixels without data.

        Raises:
            ValueError: If the file is damaged.
        """
        window = Window(0, 0, self.width, self.height)
        values, valid = self._read(window)
        return Picture(
            self._shown(values, valid, fill),
            None if valid.all() else valid,
            self.count,
            self.colors.bands,
            self.depth,
            _range(values[:, valid]),
            self.stretch,
            notes=tuple(self.notes),
        )

    def sample(self) -> tuple[np.ndarray, int]:
        """Valid values from all over the raster.

        Returns:
            Stored values (bands, N), and the number of pixels that were looked at.
        """
        squares = list(self._squares(SAMPLE_SIDE))
        found = [self._valid_values(window) for window in squares]
        looked_at = sum(int(square.width * square.height) for square in squares)
        if not any(values.size for values in found):  # little of the raster has data
            everywhere = self._squares(SEARCH_SIDE, spread=False)
            found = [self._valid_values(w)[:, ::SEARCH_STEP] for w in everywhere]
            looked_at = self.height * self.width // SEARCH_STEP
        return np.concatenate(found, axis=1), max(looked_at, 1)

    def _open(self, path: str) -> rasterio.DatasetReader:
        if self._driver is None:
            missing = missing_sources(path)
            if missing:
                more = f' and {len(missing) - 1} more' * (len(missing) > 1)
                raise ValueError(
                    f'{self.path} is made of {missing[0]}{more}, which is not there: '
                    'bring it back, or write the VRT anew'
                )
        try:
            return open_raster(path, driver=self._driver)
        except UnicodeEncodeError:
            raise ValueError(f'the name {path!r} is not UTF-8: rename it') from None
        except RasterioError as error:
            # Names may also be addresses or parts of files, as in GPKG:FILE:TABLE.
            if self._bytes is None and ':' not in path and not Path(path).exists():
                raise FileNotFoundError(f'{self.path} does not exist') from None
            raise ValueError(
                f'{self.path} is not a raster file that can be read: '
                f'{self._reason(error)}'
            ) from None

    def _reason(self, error: BaseException) -> str:
        """The message of GDAL that explains an error of rasterio, without the path."""
        while error.__cause__ is not None:
            error = error.__cause__
        lines = str(error).strip().splitlines()
        if not lines:
            return type(error).__name__
        paths = {self._source, os.path.basename(self._source), self.path}
        names = '|'.join(map(re.escape, sorted(paths, key=len, reverse=True)))
        return re.sub(rf'^(?:(?:{names}): *)+', '', lines[0]).replace(
            self._source, self.path
        )

    def _describe(self) -> None:
        self._choose_part()
        file = self._file
        # GDAL reads a TIFF's tags when it is first asked for one, and complains then
        # of those that it leaves out; the picture is none the worse for them.
        with suppress(CPLE_BaseError):
            _ = file.colorinterp
        self.height, self.width, self.count = file.height, file.width, file.count
        self._blocks = BlockCache(file) if BlockCache.helps(file) else None
        with self._stream() or nullcontext() as stream:
            self._pixels = decode_lossy(file, stream, self.path)
            self.colors = find_colors(
                file, stream, self.path, self.reading, self._band_sample
            )
        types = [file.dtypes[band - 1] for band in self.colors.bands]
        if any('complex' in name for name in types):
            raise ValueError(f'{self.path} has complex numbers, not a picture')
        self._values_tell_validity = (
            any('float' in name for name in types)
            or self.reading.nodata is not None
            or self.colors.clear is not None
        )
        self._masked = self._find_masks()
        self.depth = self._find_depth(types[0])
        self.notes.extend(self.colors.notes)
        self.stretch = self._find_stretch(types)

    def _shown(
        self, values: np.ndarray, valid: np.ndarray, fill: tuple[int, int, int]
    ) -> np.ndarray:
        if self.stretch is not None:
            values = self.stretch(values)
        picture = self.colors.to_rgb(values)
        picture[~valid] = fill
        return picture

    def _stream(self) -> BinaryIO | None:
        """The bytes of a file that is not an address."""
        if self._bytes is not None:
            return io.BytesIO(self._bytes)
        if os.path.isfile(self._source):
            return open(self._source, 'rb')
        return None

    def _choose_part(self) -> None:
        """Opens the page or part that is wanted, or says that there are several."""
        parts, number = self._file.subdatasets, self.reading.subdataset
        if number is not None:
            if number > max(len(parts), 1):
                raise ValueError(
                    f'{self.path} has {max(len(parts), 1)} parts, there is no '
                    f'subdataset {number}'
                )
            if parts:
                part = self._open(parts[number - 1])
                self._file = self._closing.enter_context(part)
        elif self._file.count and len(parts) > 1:
            self.notes.append(f'the first of {len(parts)} pages (--subdataset N)')
        if self._file.count == 0:
            shown = ', '.join(parts[:4]).replace(self._source, self.path)
            raise ValueError(
                f'{self.path} has no bands of its own'
                + (f'; give one of its parts: {shown}, or --subdataset N' * bool(parts))
            )

    def _find_depth(self, name: str) -> str:
        bits = self._file.tags(self.colors.bands[0], ns='IMAGE_STRUCTURE').get('NBITS')
        return f'{name} ({bits} bits)' if bits else name

    def _find_masks(self) -> list[int]:
        """Bands whose masks tell where there is data."""
        flags = self._file.mask_flag_enums
        masked = [
            band
            for band in self.colors.bands
            if not (
                MaskFlags.nodata in flags[band - 1] and self.reading.nodata is not None
            )
        ]
        # GDAL's mask of a band is the alpha band only if nothing else is said.
        said = any(
            not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags[band - 1])
            for band in masked
        )
        return masked if said else []

    def _find_stretch(self, types: Sequence[str]) -> Stretch | None:
        bands = self.colors.bands
        if self.reading.value_range is not None:
            return given_stretch(self.reading.value_range, len(bands))
        if self.colors.palette is not None:
            return None
        if all(name == 'uint8' for name in types):
            return self._stretch_few_bits()
        if self.colors.inks:
            return given_stretch((0, np.iinfo(types[0]).max), len(bands))
        self.is_sampled = True
        sample, _ = self.sample()
        if not sample.size:  # any will do: nothing will be seen through it
            return given_stretch((0, 1), len(bands))
        hint = fill_hint(sample)
        if hint:
            self.notes.append(hint)
        stretch = percentile_stretch(sample, self.reading.percentiles)
        low, high = min(stretch.low), max(stretch.high)
        self.notes.append(
            f'{self.depth} stretched: {low:g}...{high:g} became 0...255 (--value-range)'
        )
        return stretch

    def _stretch_few_bits(self) -> Stretch | None:
        """For files of 1 to 7 bits per band, whose numbers are small."""
        bands = self.colors.bands
        tags = [self._file.tags(band, ns='IMAGE_STRUCTURE') for band in bands]
        bits = [int(tag.get('NBITS', 8)) for tag in tags]
        if min(bits) >= 8:
            return None
        ranges = [number for count in bits for number in (0, 2**count - 1)]
        return given_stretch(ranges, len(bits))

    def _band_sample(self, band: int) -> np.ndarray:
        """Values of a band from squares all over the raster."""
        squares = self._squares(SAMPLE_SIDE)
        return np.concatenate([self._values([band], w).ravel() for w in squares])

    def _valid_values(self, window: Window) -> np.ndarray:
        values, valid = self._read(window)
        return values[:, valid]

    def _squares(self, side: int, spread: bool = True) -> Iterator[Window]:
        """Squares spread over the raster, or covering it."""
        size = (self.height, self.width)
        starts = [_spread(n) if spread else range(0, n, side) for n in size]
        for row, column in itertools.product(*starts):
            height, width = min(side, self.height - row), min(side, self.width - column)
            yield Window(column, row, width, height)

    def _read(
        self, window: Window, with_values: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (bands, H, W), none if not wanted; and where they count."""
        shape = (int(window.height), int(window.width))
        values, valid = np.empty((0, *shape)), np.ones(shape, bool)
        if with_values:
            values = self._values(self.colors.bands, window)
        if self._masked:
            valid &= self._guarded(window, lambda: self._read_masks(window))
        if self.colors.alpha:
            valid &= (self._values(self.colors.alpha, window) > 0).all(axis=0)
        if self.reading.nodata is not None:
            valid &= (values != self.reading.nodata).any(axis=0)
        if self.colors.clear is not None:
            valid &= ~self.colors.clear[values[0]]
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values).all(axis=0)
        return values, valid

    def _values(self, bands: Sequence[int], window: Window) -> np.ndarray:
        """Stored values (bands, H, W)."""
        if self._pixels is not None:
            part = self._pixels[window.toslices()]
            return part.transpose(2, 0, 1)[[band - 1 for band in bands]]
        source = self._blocks or self._file
        return self._guarded(window, lambda: source.read(list(bands), window=window))

    def _read_masks(self, window: Window) -> np.ndarray:
        with warnings.catch_warnings():
            # The alpha band is read beside it.
            warnings.simplefilter('ignore', NodataShadowWarning)
            return self._file.read_masks(self._masked, window=window).any(axis=0)

    def _guarded(self, window: Window, read: Callable[[], np.ndarray]) -> np.ndarray:
        try:
            return read()
        except RasterioError as error:
            (top, bottom), (left, right) = window.toranges()
            raise ValueError(
                f'{self.path} is damaged or cut off: rows {top}...{bottom - 1}, '
                f'columns {left}...{right - 1} cannot be read ({self._reason(error)})'
            ) from None


def open_raster(
    path: str | os.PathLike, mode: str = 'r', **profile: object
) -> rasterio.DatasetReader | rasterio.io.DatasetWriter:
    """As ``rasterio.open``, without its warning that a file has no place."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        return rasterio.open(path, mode, **profile)


def limited_cache(neighbours: bool = True) -> rasterio.Env:
    """A GDAL environment whose cache of decoded blocks is small.

    Args:
        neighbours: Whether files beside a raster are looked at.
    """
    options: dict[str, int | str] = dict(GDAL_CACHEMAX=CACHE_MEGABYTES)
    if not neighbours:
        options['GDAL_DISABLE_READDIR_ON_OPEN'] = 'EMPTY_DIR'
    return rasterio.Env(**options)


def _range(values: np.ndarray) -> tuple[float, float] | None:
    return (float(values.min()), float(values.max())) if values.size else None


def _spread(length: int) -> list[int]:
    """Where squares of the sample begin along one axis."""
    if length <= SAMPLE_GRID * SAMPLE_SIDE:
        return list(range(0, length, SAMPLE_SIDE))
    last = length - SAMPLE_SIDE
    return [round(i * last / (SAMPLE_GRID - 1)) for i in range(SAMPLE_GRID)]
