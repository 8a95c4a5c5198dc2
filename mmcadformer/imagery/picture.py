# SPDX-License-Identifier: Apache-2.0
"""Whole pictures: from a file to the pixels that networks see."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from mmengine.fileio import get

from .decoding import decode_plain
from .headers import orientation as read_orientation
from .headers import read_header
from .raster import Raster
from .reading import Picture, Reading

# RGB of pixels without data: the mean that preprocessors subtract.
FILL = (124, 116, 104)
# More than that is more likely an attack or a mistake than a picture to be shown to a
# network at once.
MAX_PIXELS = 200_000_000
_PLAIN = Reading()
READING_KEYS = frozenset((*_PLAIN.__dataclass_fields__, 'fill', 'max_pixels'))
"""What a config may say about the reading of pictures."""


def read_picture(
    source: str | os.PathLike | bytes,
    bands: Sequence[int] | None = None,
    value_range: Sequence[float] | None = None,
    nodata: float | None = None,
    percentiles: tuple[float, float] = (2.0, 98.0),
    alpha: bool | None = None,
    orientation: str = 'stored',
    subdataset: int | None = None,
    fill: tuple[int, int, int] = FILL,
    max_pixels: int = MAX_PIXELS,
    reduce_to: tuple[int, int] | None = None,
    name: str | None = None,
    backend_args: dict | None = None,
) -> Picture:
    """Reads a picture whole: PNG, JPEG, TIFF, JPEG 2000, WebP or BMP of any depth.

    Nothing but the file itself is opened: no neighbours, no file that it names. For
    rasters of other formats and for scenes see :class:`Raster`.

    Args:
        source: Path, address of one of MMEngine's file backends, or the file's bytes.
        bands, value_range, nodata, percentiles, alpha, orientation, subdataset: See
            :class:`Reading`.
        fill: RGB of pixels without data.
        max_pixels: Larger pictures are refused before they are decoded.
        reduce_to: Width and height that are enough. A JPEG of 8 bits that is taken as
            it is comes at a half, a quarter or an eighth of its size where that has
            them, which is faster; other pictures come whole.
        name: What messages call it; by default the path.
        backend_args: Of MMEngine's file backend.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it can't be read or is too large, or the options don't fit it.
    """
    reading = Reading(
        tuple(bands) if bands is not None else None,
        tuple(value_range) if value_range is not None else None,
        percentiles,
        nodata,
        alpha,
        orientation,
        subdataset,
    )
    if isinstance(source, bytes):
        data, name = source, name or 'the picture'
    else:
        name = name or os.fspath(source)
        if os.path.exists(source) and not os.path.isfile(source):
            raise ValueError(f'{name} is not a file but a folder, pipe or device')
        data = get(os.fspath(source), backend_args=backend_args)
    if not data:
        raise ValueError(f'{name} is empty')
    header = read_header(data)
    if header.driver is None:
        raise ValueError(
            f'{name} is not a picture that can be read: use PNG, JPEG, TIFF, '
            'JPEG 2000, WebP or BMP'
        )
    check_size(name, header.size, max_pixels)
    pixels_only = replace(reading, orientation='stored')
    tag = read_orientation(data) if reading.orientation == 'applied' else 1
    if header.plain and pixels_only == _PLAIN:
        least = _as_stored(reduce_to, tag)
        rgb = decode_plain(data, header, name, least)[..., ::-1]
        whole = header.size is None or rgb.shape[:2] == header.size
        picture = Picture(rgb, full_size=None if whole else header.size)
    else:
        with Raster(data, pixels_only, name=name) as raster:
            check_size(name, (raster.height, raster.width), max_pixels)
            picture = raster.picture(fill)
    return _turned(picture, tag)


def check_size(
    name: str, size: tuple[int, int] | None, max_pixels: int = MAX_PIXELS
) -> None:
    """Refuses pictures that are too large, before they are decoded.

    Args:
        name: Of the file.
        size: Height and width, if they are known.
        max_pixels: The limit.

    Raises:
        ValueError: It has more pixels.
    """
    if size is not None and size[0] * size[1] > max_pixels:
        raise ValueError(
            f'{name} has {size[1]} x {size[0]} px, more than max_pixels = '
            f'{max_pixels}: cut it up, or use tools/infer_scene.py, which takes scenes '
            'of any size'
        )


def turn(pixels: np.ndarray, tag: int) -> np.ndarray:
    """Turns (H, W, ...) from the way it is stored to the way it is to be shown.

    Args:
        pixels: Picture or mask.
        tag: The Orientation tag, 1...8.
    """
    return _TURNS[tag](pixels)


_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


def _as_stored(shown: tuple[int, int] | None, tag: int) -> tuple[int, int] | None:
    """Height and width as stored, of a width and a height as shown."""
    if shown is None or tag > 4:
        return shown
    return shown[1], shown[0]


def _turned(picture: Picture, tag: int) -> Picture:
    if tag == 1:
        return picture
    valid = None if picture.valid is None else turn(picture.valid, tag)
    size = picture.full_size
    if size is not None and tag > 4:
        size = size[1], size[0]
    rgb = turn(picture.rgb, tag)
    return replace(picture, rgb=rgb, valid=valid, orientation=tag, full_size=size)
