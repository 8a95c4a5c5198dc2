# SPDX-License-Identifier: Apache-2.0
"""Scenes read by windows: never more in memory than is asked for."""

from __future__ import annotations

import itertools
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import (
    CRSError,
    NodataShadowWarning,
    NotGeoreferencedWarning,
    RasterioError,
)
from rasterio.windows import Window

from ..utils.log import warn
from .blocks import BlockCache
from .stretch import Stretch, given_stretch, percentile_stretch

# GDAL's own default grows with the machine's memory.
CACHE_MEGABYTES = 128
# The values of a stretch come from this many squares along each axis.
SAMPLE_GRID, SAMPLE_SIDE = 16, 64
# If there is no data in any: the side of squares that cover the scene, of whose pixels
# one in so many is taken.
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
        values, valid = self._read(Window(column, row, width, height))
        if self._stretch is not None:
            values = self._stretch(values)
        if self._palette is not None:
            picture = self._palette[values[0]]
        else:
            if len(values) == 1:
                values = values.repeat(3, axis=0)
            picture = np.ascontiguousarray(values.transpose(1, 2, 0))
        picture[~valid] = fill
        return picture, valid

    def read_valid(self, row: int, column: int, height: int, width: int) -> np.ndarray:
        """Where a window has data: bool (height, width)."""
        window = Window(column, row, width, height)
        return self._read(window, self._values_tell_validity)[1]

    def facts(self) -> dict:
        """What identifies the content, for comparison between runs."""
        facts = dict(path=self.name, height=self.height, width=self.width)
        if os.path.isfile(self.path):
            status = os.stat(self.path)
            facts.update(bytes=status.st_size, modified=status.st_mtime_ns)
        states = [(file, os.stat(file)) for file in self.files()]
        files = [(file, state.st_size, state.st_mtime_ns) for file, state in states]
        return dict(facts, files=files)

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
            return open_raster(self.path)
        except UnicodeEncodeError:
            raise ValueError(
                f'the name of the scene {self.path!r} is not UTF-8: rename it'
            ) from None
        except RasterioError as error:
            # Names may also be addresses or parts of files, as in GPKG:FILE:TABLE.
            if ':' not in self.path and not Path(self.path).exists():
                raise FileNotFoundError(f'scene {self.path} does not exist') from None
            raise ValueError(
                f'{self.path} is not a raster file that can be read: '
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
        types = [file.dtypes[band - 1] for band in self._bands]
        if any('complex' in name for name in types):
            raise ValueError(f'{self.path} has complex numbers, not a picture')
        floating = any('float' in name for name in types)
        self._values_tell_validity = floating or self.reading.nodata is not None
        self._alpha, self._masked = self._find_masks()
        self._source = BlockCache(file) if BlockCache.helps(file) else file
        self._stretch = self._find_stretch(types)

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
            warn(
                f'{self.path} has ground control points instead of a transform, which '
                'are not used: warp it first (gdalwarp) for map coordinates'
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

    def _find_masks(self) -> tuple[list[int], list[int]]:
        """Alpha bands, and bands whose masks tell where there is data."""
        alpha, masked, said = [], [], False
        for band, (kind, flags) in enumerate(
            zip(self._file.colorinterp, self._file.mask_flag_enums, strict=True), 1
        ):
            if kind == ColorInterp.alpha:
                alpha.append(band)
            elif MaskFlags.nodata not in flags or self.reading.nodata is None:
                masked.append(band)
                # GDAL's mask of a band is the alpha band if nothing else is said.
                said |= not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags)
        return alpha, masked if said else []

    def _find_palette(self) -> np.ndarray | None:
        """Colours (256, 3) of a picture that stores indices into a palette."""
        band = self._bands[0]
        if (
            len(self._bands) > 1
            or self.reading.value_range is not None
            or self._file.colorinterp[band - 1] != ColorInterp.palette
            or self._file.dtypes[band - 1] != 'uint8'
        ):
            return None
        palette = np.zeros((256, 3), np.uint8)
        for index, color in self._file.colormap(band).items():
            palette[index] = color[:3]
        return palette

    def _find_stretch(self, types: list[str]) -> Stretch | None:
        given: Sequence[float] | None = self.reading.value_range
        if given is None and set(types) == {'uint8'}:
            tags = [self._file.tags(band, ns='IMAGE_STRUCTURE') for band in self._bands]
            bits = [int(tag.get('NBITS', 8)) for tag in tags]
            if self._palette is not None or min(bits) >= 8:
                return None
            # Files of 1 to 7 bits per band, whose numbers are small.
            given = [number for count in bits for number in (0, 2**count - 1)]
        if given is None:
            sample = self._sample()
            if sample.size:
                return percentile_stretch(sample, self.reading.percentiles)
            given = (0, 1)  # any will do: nothing will be seen through it
        return given_stretch(given, len(types))

    def _sample(self) -> np.ndarray:
        """Valid values (bands, N) from squares all over the scene."""
        size = (self.height, self.width)
        squares = [_spread(length) for length in size]
        sample = self._valid_values(squares, SAMPLE_SIDE)
        if not sample.size:  # little of the scene has data
            everywhere = [range(0, length, SEARCH_SIDE) for length in size]
            sample = self._valid_values(everywhere, SEARCH_SIDE, SEARCH_STEP)
        return sample

    def _valid_values(
        self, squares: Sequence[Iterable[int]], side: int, step: int = 1
    ) -> np.ndarray:
        """Every ``step``-th value (bands, N) of squares in some rows and columns."""
        found = []
        for row, column in itertools.product(*squares):
            height, width = min(side, self.height - row), min(side, self.width - column)
            values, valid = self._read(Window(column, row, width, height))
            found.append(values[:, valid][:, ::step])
        return np.concatenate(found, axis=1)

    def _read(
        self, window: Window, with_values: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values (bands, H, W), none if not wanted; and where they count."""
        shape = (int(window.height), int(window.width))
        values, valid = np.empty((0, *shape)), np.ones(shape, bool)
        try:
            if with_values:
                values = self._source.read(self._bands, window=window)
            if self._masked:
                with warnings.catch_warnings():
                    # The alpha band is read beside it.
                    warnings.simplefilter('ignore', NodataShadowWarning)
                    masks = self._file.read_masks(self._masked, window=window)
                valid &= np.any(masks, axis=0)
            if self._alpha:
                opacity = self._source.read(self._alpha, window=window)
                valid &= (opacity > 0).all(axis=0)
        except RasterioError as error:
            row, column = int(window.row_off), int(window.col_off)
            raise ValueError(
                f'{self.path} is damaged or cut off: rows {row}...'
                f'{row + shape[0] - 1}, columns {column}...{column + shape[1] - 1} '
                f'cannot be read ({_reason(error, self.path)})'
            ) from None
        if self.reading.nodata is not None:
            valid &= (values != self.reading.nodata).any(axis=0)
        if values.dtype.kind == 'f':
            valid &= np.isfinite(values).all(axis=0)
        return values, valid


def open_raster(
    path: str | os.PathLike, mode: str = 'r', **profile: object
) -> rasterio.DatasetReader | rasterio.io.DatasetWriter:
    """As ``rasterio.open``, without its warning that a file has no place."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        return rasterio.open(path, mode, **profile)


def limited_cache() -> rasterio.Env:
    """A GDAL environment whose cache of decoded blocks is small."""
    return rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES)


def _spread(length: int) -> list[int]:
    """Where squares of the sample begin along one axis."""
    if length <= SAMPLE_GRID * SAMPLE_SIDE:
        return list(range(0, length, SAMPLE_SIDE))
    last = length - SAMPLE_SIDE
    return [round(i * last / (SAMPLE_GRID - 1)) for i in range(SAMPLE_GRID)]


def _reason(error: BaseException, path: str) -> str:
    """The message of GDAL that explains an error of rasterio, without the path."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    names = '|'.join(re.escape(name) for name in (path, os.path.basename(path)))
    return re.sub(rf'^(?:(?:{names}): *)+', '', lines[0])
