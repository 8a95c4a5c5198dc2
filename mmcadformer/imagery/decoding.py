# SPDX-License-Identifier: Apache-2.0
"""8-bit pictures by OpenCV, which is fast and what networks were trained with.

Decoders of lossy formats differ in how they enlarge colour channels, so JPEG and WebP
come from OpenCV wherever they are read.
"""

from __future__ import annotations

from typing import BinaryIO

import cv2
import numpy as np
import rasterio

from .headers import Header, jpeg_is_whole, read_header

# Pixels of a lossy picture that is decoded whole; larger ones come by windows.
_WHOLE = 2**26
# The divisors by which OpenCV has the decoder of JPEGs compute fewer pixels.
_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}


def decode_plain(
    data: bytes, header: Header, name: str, least: tuple[int, int] | None = None
) -> np.ndarray:
    """Decodes a file whose header is ``plain``.

    Args:
        data: The file.
        header: Its header.
        name: Of the file, for messages.
        least: Height and width that are enough: a JPEG is decoded at a half, a
            quarter or an eighth of its size where that has them.

    Returns:
        BGR uint8 (H, W, 3), as stored: no Orientation tag is applied.

    Raises:
        ValueError: It is cut off or damaged.
    """
    if header.driver == 'JPEG' and not jpeg_is_whole(data):
        raise ValueError(f'{name} is cut off: the JPEG has no end')
    how = _scale(header, least) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as error:
        raise ValueError(f'{name} cannot be read ({error})') from None
    if image is None:
        raise ValueError(f'{name} is cut off or damaged')
    return image


def _scale(header: Header, least: tuple[int, int] | None) -> int:
    if header.driver == 'JPEG' and header.size is not None and least is not None:
        for divisor, flag in _REDUCED.items():
            enough = zip(header.size, least, strict=True)
            if all(length // divisor >= wanted for length, wanted in enough):
                return flag
    return cv2.IMREAD_COLOR


def decode_lossy(
    file: rasterio.DatasetReader, stream: BinaryIO | None, name: str
) -> np.ndarray | None:
    """Decodes an open JPEG or WebP of ordinary size.

    Args:
        file: As GDAL sees it.
        stream: Its bytes, if there are any.
        name: Of the file, for messages.

    Returns:
        RGB uint8 (H, W, 3), or None for all other files.

    Raises:
        ValueError: It is cut off, damaged or animated.
    """
    if file.driver not in ('JPEG', 'WEBP') or file.height * file.width > _WHOLE:
        return None
    if stream is None:
        return None
    data = stream.read()
    header = read_header(data)
    if header.animated:
        raise ValueError(f'{name} is an animation: save one of its pictures as PNG')
    return decode_plain(data, header, name)[..., ::-1] if header.plain else None
