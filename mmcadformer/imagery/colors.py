# SPDX-License-Identifier: Apache-2.0
"""What the bands of a raster are: colours, grey, a palette, inks, opacity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from .headers import unsupported_colors
from .reading import Reading

_RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_CMYK = (ColorInterp.cyan, ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black)
# What can only be shown after a conversion that the file doesn't define.
_FOREIGN = {
    ColorInterp.Y: 'YCbCr',
    ColorInterp.hue: 'HSL',
    ColorInterp.lightness: 'HSL',
}
Sample = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Colors:
    """How bands become a picture.

    Attributes:
        bands: Numbers, from 1, of those that are read: one, three or four inks.
        alpha: Bands of opacity; a pixel of opacity 0 is missing.
        palette: uint8 (N, 3), the colours of a band of indices.
        clear: Bool (N,), which of them are transparent.
        inks: Whether the bands are cyan, magenta, yellow and black.
        white_is_least: Whether the smallest value of a grey band is white.
        notes: What a user should know about the choice.
    """

    bands: tuple[int, ...]
    alpha: tuple[int, ...] = ()
    palette: np.ndarray | None = None
    clear: np.ndarray | None = None
    inks: bool = False
    white_is_least: bool = False
    notes: tuple[str, ...] = ()

    def to_rgb(self, values: np.ndarray) -> np.ndarray:
        """From (bands, H, W), of 8 bits unless indices, to RGB uint8 (H, W, 3)."""
        if self.palette is not None:
            return self.palette[values[0]]
        if self.inks:
            *inks, black = 255 - values.astype(np.uint16)
            values = np.stack([(ink * black + 127) // 255 for ink in inks])
            values = values.astype(np.uint8)
        if self.white_is_least:
            values = 255 - values
        if len(values) == 1:
            values = values.repeat(3, axis=0)
        return np.ascontiguousarray(values.transpose(1, 2, 0))


def find_colors(
    file: rasterio.DatasetReader,
    stream: BinaryIO | None,
    path: str,
    reading: Reading,
    sample: Sample,
) -> Colors:
    """Finds out what the bands of an open raster are.

    Args:
        file: The raster; it has bands.
        stream: Its bytes, where it is a single file.
        path: Of the file, for messages.
        reading: What the user says about it.
        sample: Gives values of a band from all over the raster.

    Raises:
        ValueError: The bands don't exist, or their colours can't be shown.
    """
    kinds, count = file.colorinterp, file.count
    _refuse_foreign_colors(file, stream, path)
    alpha, notes = _find_alpha(file, kinds, reading, sample)
    bands, inks = _choose_bands(path, kinds, alpha, reading)
    palette, clear = None, None
    if len(bands) == 1 and reading.value_range is None:
        palette, clear = _find_palette(file, bands[0], kinds)
    if count > len(bands) + len(alpha):
        names = 'grey' if len(bands) == 1 else 'red, green and blue'
        names = 'cyan, magenta, yellow and black' if inks else names
        chosen = f'band {bands[0]}' if len(bands) == 1 else _listed(bands)
        notes = (f'of {count} bands, {chosen} taken as {names}', *notes)
    tags = file.tags(ns='IMAGE_STRUCTURE')
    inverted = tags.get('MINISWHITE') == 'YES' and len(bands) == 1 and palette is None
    if inverted:
        notes = (*notes, 'its smallest value is white')
    if inks:
        notes = (*notes, 'converted from CMYK')
    return Colors(bands, alpha, palette, clear, inks, inverted, notes)


def _refuse_foreign_colors(
    file: rasterio.DatasetReader, stream: BinaryIO | None, path: str
) -> None:
    name = _FOREIGN.get(file.colorinterp[0])
    if file.driver == 'GTiff' and stream is not None:
        name = name or unsupported_colors(stream)
    if name:
        raise ValueError(
            f'{path} has colours in {name}, which are not read: convert it to RGB'
        )


def _find_alpha(
    file: rasterio.DatasetReader,
    kinds: tuple[ColorInterp, ...],
    reading: Reading,
    sample: Sample,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Bands of opacity, and what to say about those that are tagged in vain."""
    tagged = tuple(i for i, kind in enumerate(kinds, 1) if kind == ColorInterp.alpha)
    if reading.alpha is not None:
        last = (file.count,) if file.count in (2, 4) else ()
        return (tagged or last) if reading.alpha else (), ()
    # libtiff makes RGBA of some colour spaces itself.
    made = 'SOURCE_COLOR_SPACE' in file.tags(ns='IMAGE_STRUCTURE')
    if file.driver != 'GTiff' or file.count < 4 or made or not tagged:
        return tagged, ()
    vain = tuple(band for band in tagged if not _is_opacity(sample(band)))
    if not vain:
        return tagged, ()
    return tuple(band for band in tagged if band not in vain), (
        f'{_listed(vain)} tagged as alpha but with other values than 0 and the '
        'largest: taken for near infrared (alpha=True, --alpha yes, if it is opacity)',
    )


def _is_opacity(values: np.ndarray) -> bool:
    top = np.iinfo(values.dtype).max if values.dtype.kind in 'iu' else 1
    return bool(np.isin(values, (0, top)).all())


def _choose_bands(
    path: str, kinds: tuple[ColorInterp, ...], alpha: tuple[int, ...], reading: Reading
) -> tuple[tuple[int, ...], bool]:
    """Bands to read, and whether they are inks."""
    if reading.bands is not None:
        wrong = [band for band in reading.bands if not 1 <= band <= len(kinds)]
        if wrong:
            raise ValueError(
                f'{path} has bands 1...{len(kinds)}, there is no band {wrong[0]}'
            )
        return tuple(reading.bands), False
    if all(kind in kinds for kind in _CMYK):
        return tuple(kinds.index(kind) + 1 for kind in _CMYK), True
    if all(kind in kinds for kind in _RGB):
        return tuple(kinds.index(kind) + 1 for kind in _RGB), False
    pictures = [band for band in range(1, len(kinds) + 1) if band not in alpha]
    pictures = pictures or [1]
    return tuple(pictures[:3] if len(pictures) >= 3 else pictures[:1]), False


def _find_palette(
    file: rasterio.DatasetReader, band: int, kinds: tuple[ColorInterp, ...]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    name = file.dtypes[band - 1]  # not all are types of NumPy's
    if kinds[band - 1] != ColorInterp.palette or name not in ('uint8', 'uint16'):
        return None, None
    size = np.iinfo(name).max + 1
    palette, clear = np.zeros((size, 3), np.uint8), np.zeros(size, bool)
    for index, color in file.colormap(band).items():
        palette[index], clear[index] = color[:3], color[3] == 0
    return palette, clear if clear.any() else None


def _listed(bands: tuple[int, ...]) -> str:
    if len(bands) == 1:
        return f'band {bands[0]}'
    *first, last = bands
    return f'bands {", ".join(map(str, first))} and {last}'
