# SPDX-License-Identifier: Apache-2.0
"""Scenes read by windows: never more in memory than is asked for."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from mmengine.logging import print_log
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import (
    CRSError,
    NodataShadowWarning,
    NotGeoreferencedWarning,
    RasterioError,
)
from rasterio.windows import Window

from .blocks import BlockCache
from .stretch import Stretch, given_stretch, percentile_stretch

# GDAL's own default grows with the machine's memory.
CACHE_MEGABYTES = 128
# The values of a stretch come from this many squares along each axis.
SAMPLE_GRID, SAMPLE_SIDE = 16, 64
# If there is no data in any: side of the squares that cover the scene, and which
# share of their pixels is taken.
SEARCH_SIDE, SEARCH_STEP = 512, 16

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
# Written by programs that only look at a scene: statistics and reduced pictures.
_BY_VIEWERS = ('.aux.xml', '.ovr')


@dataclass(frozen=True)
class Reading:
    """How the pixels of a scene are understood.

    Args:
        bands: Numbers, from 1, of the bands for red, green and blue; one number for
            a gray picture. By default the bands that the file calls red, green and
            blue, else the first three, else the first.
        value_range: What becomes 0 and 255: two numbers, or two per band. By default
            8-bit bands are left alone and others are stretched by ``percentiles``.
        percentiles: Shares of the values, in percent, that bound the stretch.
        nodata: Value that stands for missing pixels, where the file doesn't say so
            or is wrong. A mask or alpha band of the file counts, too.
        crs: Coordinate system, such as 'EPSG:32614', where the file doesn't say so
            or is wrong.

    Raises:
        ValueError: If an option is out of range.
    """

    bands: tuple[int, ...] | None = None
    value_range: tuple[float, ...] | None = None
    percentiles: tuple[float, float] = (2.0, 98.0)
    nodata: float | None = None
    crs: str | None = None

    def __post_init__(self) -> None:
        if self.bands is not None and len(self.bands) not in (1, 3):
            raise ValueError(
                f'bands {list(self.bands)}: give three (red, green, blue) or one'
            )
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(
                f'percentiles {low} and {high} must rise and lie in 0...100'
            )


class SceneReader:
    """An open scene, used in a ``with`` statement.

    Args:
        path: Any raster that GDAL reads: GeoTIFF, COG, JPEG 2000, PNG, VRT...
        reading: How to understand its pixels.

    Attributes:
        name: The path, whatever the working directory.
        height, width: In pixels.
        crs: rasterio CRS, or None.
        transform: From (column, row) to map coordinates; None if the file has none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it can't be read, or the options don't fit it.
    """

    def __init__(self, path: str | os.PathLike, reading: Reading | None = None) -> None:
        self.path = os.fspath(path)
        is_file = os.path.isfile(self.path)
        self.name = os.path.abspath(self.path) if is_file else self.path
        self.reading = reading or Reading()
        self._environment = limited_cache()
        with limited_cache():
            self._file = self._open()
            try:
                self._describe()
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> SceneReader:
        self._environment.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._environment.__exit__(*exception)

    def read(
        self, row: int, column: int, height: int, width: int, fill: tuple[int, int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of a window that lies inside the scene.

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
        window = Window(column, row, width, height)
        values = self._read_bands(window)
        valid = self._valid(window, values)
        picture = self._to_rgb(values)
        picture[~valid] = fill
        return picture, valid

    def read_valid(self, row: int, column: int, height: int, width: int) -> np.ndarray:
        """Where a window has data: bool (height, width)."""
        window = Window(column, row, width, height)
        values = self._read_bands(window) if self._values_tell_validity else None
        return self._valid(window, values)

    def facts(self) -> dict:
        """What identifies the content, for comparison between runs."""
        facts = dict(path=self.name, height=self.height, width=self.width)
        if os.path.isfile(self.path):
            status = os.stat(self.path)
            facts.update(bytes=status.st_size, modified=status.st_mtime_ns)
        states = [(file, os.stat(file)) for file in self.files()]
        facts['files'] = [
            (file, state.st_size, state.st_mtime_ns) for file, state in states
        ]
        return facts

    def files(self) -> list[str]:
        """Files on this machine that the pixels come from.

        Masks beside the scene and the pictures that a VRT is made of are among them.
        """
        return [
            file
            for file in sorted(self._file.files)
            if os.path.isfile(file) and not file.endswith(_BY_VIEWERS)
        ]

    def _open(self) -> rasterio.DatasetReader:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', NotGeoreferencedWarning)
                return rasterio.open(self.path)
        except UnicodeEncodeError:
            raise ValueError(
                f'the name of the scene {self.path!r} is not UTF-8: rename it'
            ) from None
        except RasterioError as error:
            # Names may also be addresses or parts of files, as in GPKG:FILE:TABLE.
            if ':' not in self.path and not Path(self.path).exists():
                raise FileNotFoundError(f'scene {self.path} does not exist') from None
            raise ValueError(
                f'{self.path} is no raster file that can be read: '
                f'{_reason(error, self.path)}'
            ) from None

    def _describe(self) -> None:
        file = self._file
        if file.count == 0:
            parts = ', '.join(file.subdatasets[:4])
            raise ValueError(
                f'{self.path} has no bands of its own'
                + (f'; give one of its parts: {parts}' if parts else '')
            )
        self.height, self.width = file.height, file.width
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            has_transform = not file.transform.is_identity
        self.transform = file.transform if has_transform else None
        if has_transform and file.transform.is_degenerate:
            raise ValueError(f'{self.path}: its geotransform gives pixels no area')
        self.crs = self._find_crs()
        self._bands = self._choose_bands()
        self._palette = self._find_palette()
        if any('complex' in self._type(band) for band in self._bands):
            raise ValueError(f'{self.path} has complex numbers, not a picture')
        floating = any('float' in self._type(band) for band in self._bands)
        self._values_tell_validity = floating or self.reading.nodata is not None
        self._alpha, self._masked = self._find_masks()
        self._blocks = BlockCache(file) if BlockCache.helps(file) else None
        self._stretch = self._find_stretch()

    def _find_crs(self) -> rasterio.crs.CRS | None:
        if self.reading.crs is not None:
            try:
                return rasterio.crs.CRS.from_user_input(self.reading.crs)
            except CRSError as error:
                raise ValueError(
                    f'crs {self.reading.crs!r} is unknown '
                    f"({_reason(error, self.path)}); write it like 'EPSG:32614'"
                ) from None
        if self._file.crs is None and self._file.gcps[0]:
            print_log(
                f'{self.path} has ground control points instead of a transform, which '
                'are not used: warp it first (gdalwarp) for map coordinates',
                logger='current',
                level=30,
            )
        return self._file.crs

    def _choose_bands(self) -> tuple[int, ...]:
        count = self._file.count
        if self.reading.bands is not None:
            wrong = [band for band in self.reading.bands if not 1 <= band <= count]
            if wrong:
                raise ValueError(
                    f'{self.path} has bands 1...{count}, there is no band {wrong[0]}'
                )
            return tuple(self.reading.bands)
        kinds = self._file.colorinterp
        if all(kind in kinds for kind in _RGB):
            return tuple(kinds.index(kind) + 1 for kind in _RGB)
        pictures = [i + 1 for i in range(count) if kinds[i] != ColorInterp.alpha]
        pictures = pictures or [1]
        return tuple(pictures[:3] if len(pictures) >= 3 else pictures[:1])

    def _type(self, band: int) -> str:
        return self._file.dtypes[band - 1]

    def _find_masks(self) -> tuple[list[int], list[int]]:
        """Alpha bands, and bands whose masks tell where there is data."""
        alpha, masked = [], []
        for band, (kind, flags) in enumerate(
            zip(self._file.colorinterp, self._file.mask_flag_enums, strict=True), 1
        ):
            replaced = MaskFlags.nodata in flags and self.reading.nodata is not None
            if kind == ColorInterp.alpha:
                alpha.append(band)
            elif not replaced:
                masked.append(band)
        flags = [self._file.mask_flag_enums[band - 1] for band in masked]
        # GDAL's mask of a band is the alpha band only if nothing else is said.
        said = any(not {MaskFlags.all_valid, MaskFlags.alpha} & set(f) for f in flags)
        return alpha, masked if said else []

    def _find_palette(self) -> np.ndarray | None:
        """Colours (256, 3) of a picture that stores indices into a palette."""
        band = self._bands[0]
        if (
            len(self._bands) > 1
            or self.reading.value_range is not None
            or self._file.colorinterp[band - 1] != ColorInterp.palette
            or self._type(band) != 'uint8'
        ):
            return None
        palette = np.zeros((256, 3), np.uint8)
        for index, color in self._file.colormap(band).items():
            palette[index] = color[:3]
        return palette

    def _find_stretch(self) -> Stretch | None:
        if self.reading.value_range is not None:
            return given_stretch(self.reading.value_range, len(self._bands))
        if all(self._type(band) == 'uint8' for band in self._bands):
            return self._stretch_few_bits()
        sample = self._sample()
        if not sample.size:  # any will do: nothing will be seen through it
            return given_stretch((0, 1), len(self._bands))
        return percentile_stretch(sample, self.reading.percentiles)

    def _stretch_few_bits(self) -> Stretch | None:
        """For files of 1 to 7 bits per band, whose numbers are small."""
        tags = [self._file.tags(band, ns='IMAGE_STRUCTURE') for band in self._bands]
        bits = [int(tag.get('NBITS', 8)) for tag in tags]
        if self._palette is not None or min(bits) >= 8:
            return None
        ranges = [number for count in bits for number in (0, 2**count - 1)]
        return given_stretch(ranges, len(bits))

    def _sample(self) -> np.ndarray:
        """Valid values (bands, N) from squares all over the scene."""
        sample = self._valid_values(
            SAMPLE_SIDE, _spread(self.height), _spread(self.width)
        )
        if sample.size:
            return sample
        # Little of the scene has data: look everywhere.
        rows, columns = (
            range(0, length, SEARCH_SIDE) for length in (self.height, self.width)
        )
        return self._valid_values(SEARCH_SIDE, rows, columns, step=SEARCH_STEP)

    def _valid_values(
        self, side: int, rows: Iterable[int], columns: Sequence[int], step: int = 1
    ) -> np.ndarray:
        """Every ``step``-th valid value (bands, N) of squares."""
        found = []
        for row in rows:
            for column in columns:
                window = Window(
                    column,
                    row,
                    min(side, self.width - column),
                    min(side, self.height - row),
                )
                values = self._read_bands(window)
                found.append(values[:, self._valid(window, values)][:, ::step])
        return np.concatenate(found, axis=1)

    def _read_bands(self, window: Window) -> np.ndarray:
        return self._guarded(window, lambda: self._read(self._bands, window))

    def _read(self, bands: Sequence[int], window: Window) -> np.ndarray:
        if self._blocks is not None:
            return self._blocks.read(bands, window)
        return self._file.read(bands, window=window)

    def _valid(self, window: Window, values: np.ndarray | None) -> np.ndarray:
        valid = np.ones((int(window.height), int(window.width)), bool)
        if self._masked:
            valid &= self._guarded(window, lambda: self._read_masks(window))
        if self._alpha:
            opacity = self._guarded(window, lambda: self._read(self._alpha, window))
            valid &= (opacity > 0).all(axis=0)
        if self.reading.nodata is not None:
            valid &= (values != self.reading.nodata).any(axis=0)
        if values is not None and values.dtype.kind == 'f':
            valid &= np.isfinite(values).all(axis=0)
        return valid

    def _read_masks(self, window: Window) -> np.ndarray:
        with warnings.catch_warnings():
            # The alpha band is read beside it.
            warnings.simplefilter('ignore', NodataShadowWarning)
            return self._file.read_masks(self._masked, window=window).any(axis=0)

    def _guarded(self, window: Window, read):
        try:
            return read()
        except RasterioError as error:
            row, column = int(window.row_off), int(window.col_off)
            raise ValueError(
                f'{self.path} is damaged or cut off: rows {row}...'
                f'{row + int(window.height) - 1}, columns {column}...'
                f'{column + int(window.width) - 1} cannot be read '
                f'({_reason(error, self.path)})'
            ) from None

    def _to_rgb(self, values: np.ndarray) -> np.ndarray:
        if self._stretch is not None:
            values = self._stretch(values)
        if self._palette is not None:
            return self._palette[values[0]]
        if len(values) == 1:
            values = values.repeat(3, axis=0)
        return np.ascontiguousarray(values.transpose(1, 2, 0))


def limited_cache() -> rasterio.Env:
    """A GDAL environment whose cache of decoded blocks is small."""
    return rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES)


def _spread(length: int) -> list[int]:
    """Where squares of the sample begin along one axis."""
    if length <= SAMPLE_GRID * SAMPLE_SIDE:
        return list(range(0, length, SAMPLE_SIDE))
    last = length - SAMPLE_SIDE
    return [round(i * last / (SAMPLE_GRID - 1)) for i in range(SAMPLE_GRID)]


def _reason(error: Exception, path: str) -> str:
    """The message of GDAL that explains an error of rasterio, without the path."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    names = '|'.join(re.escape(name) for name in (path, os.path.basename(path)))
    return re.sub(rf'^(?:(?:{names}): *)+', '', lines[0])
