# SPDX-License-Identifier: Apache-2.0
"""From a visitor's file to the pixels that the network sees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..datasets.image_files import read_rgb
from .geo import INSTALL_GEO, has_geo, read_raster
from .limits import Limits

if TYPE_CHECKING:
    from ..scene import Georeference

# Only these are decoded: some of Pillow's formats start other programs, and some of
# GDAL's open other files or addresses.
FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'TIFF', 'JPEG2000')
_TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_JPEG_2000 = (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')
_PNG, _PNG_DEPTH = b'\x89PNG\r\n\x1a\n', 24
# Pillow's modes of more than 8 bits per band.
_DEEP = ('I', 'F', 'I;16', 'I;16B', 'I;16L')


@dataclass(frozen=True)
class Picture:
    """A picture that was read.

    Attributes:
        rgb: uint8 (H, W, 3).
        name: Of the file.
        valid: Bool (H, W), False where the file has no data; None if all is valid.
        place: Where on the earth it lies, if that is known.
        notes: What the visitor should know about how it was read.
    """

    rgb: np.ndarray
    name: str
    valid: np.ndarray | None = None
    place: Georeference | None = None
    notes: tuple[str, ...] = ()

    def describe(self) -> str:
        """Name, size and notes, as one line."""
        height, width = self.rgb.shape[:2]
        parts = [self.name, f'{width} × {height} px', *self.notes]
        if self.valid is not None:
            parts.append(f'{1 - self.valid.mean():.0%} without data')
        return ' · '.join(parts)


def read_picture(path: Path, limits: Limits) -> Picture:
    """Reads a picture whole, or says why not.

    8-bit pictures are read as training reads them, everything else as
    ``tools/infer_scene.py`` does: TIFF and JPEG 2000 with their coordinates, more
    than 8 bits stretched between the 2nd and the 98th percentile.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF or JPEG 2000.
        limits: The largest picture and file.

    Raises:
        FileNotFoundError: It is gone.
        ValueError: It is no picture, damaged, too large, or needs the geo extra.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path.name} is no longer here: files are deleted after '
            f'{limits.keep_minutes:g} minutes. Upload it again'
        )
    limits.check_bytes(path.name, path.stat().st_size)
    try:
        return _read(path, limits)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), path.name)) from error


def _read(path: Path, limits: Limits) -> Picture:
    with path.open('rb') as stream:
        head = stream.read(32)
    raster = head.startswith((*_TIFF, *_JPEG_2000))
    mode = _read_header(path, limits, must_know=not raster)
    deep = mode in _DEEP or (head.startswith(_PNG) and head[_PNG_DEPTH] > 8)
    if has_geo():
        if raster or deep:
            return read_raster(path, limits)
    elif mode is None:
        raise ValueError(f'{path.name} is damaged or of a rare kind; {INSTALL_GEO}')
    elif deep:
        raise ValueError(
            f'{path.name} has more than 8 bits per band; convert it, or {INSTALL_GEO}'
        )
    try:
        rgb, _ = read_rgb(path)
    except ValueError as error:
        raise ValueError(f'{path.name} cannot be read: {error}') from None
    notes = ()
    if raster:
        notes = (f'coordinates, if there are any, were not read ({INSTALL_GEO})',)
    return Picture(rgb, path.name, notes=notes)


def _read_header(path: Path, limits: Limits, must_know: bool) -> str | None:
    """Pillow's mode, or None if it doesn't know the file; nothing is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                limits.check_pixels(path.name, image.height, image.width)
                return image.mode
    except Image.DecompressionBombError:
        raise ValueError(
            f'{path.name} is too large for this page, the limit is '
            f'{limits.max_pixels / 1e6:g} million pixels. Cut out a part, or run '
            'tools/infer_scene.py, which takes scenes of any size'
        ) from None
    except UnidentifiedImageError:
        if must_know:
            raise ValueError(
                f'{path.name} is no picture that can be read. Use PNG, JPEG, WebP, '
                'BMP, TIFF or JPEG 2000'
            ) from None
        return None
    except (OSError, SyntaxError) as error:
        raise ValueError(f'{path.name} is damaged ({error})') from None
