# SPDX-License-Identifier: Apache-2.0
"""What the first bytes of a picture say, before anything is decoded."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

_JPEG, _PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'
_TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
_JPEG_2000 = (b'\0\0\0\x0cjP  ', b'\xff\x4f\xff\x51')
# Markers that say how a JPEG is coded: all of C0...CF but tables and restarts.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END, _ALONE = 0xDA, 0xD9, frozenset([0x01, *range(0xD0, 0xD9)])
# In coded data FF is followed by 0, by a restart, or by the next marker.
_NEXT_MARKER = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')

_ANIMATION = 2  # a bit of the flags of a WebP

ORIENTATION = 274
_PHOTOMETRIC = 262
# What TIFFs call colours that can't be shown without a profile or a table.
_UNSUPPORTED = {
    8: 'CIELAB',
    9: 'ICCLAB',
    10: 'ITULAB',
    32803: 'CFA (a raw camera picture)',
    32844: 'LOGL',
    32845: 'LOGLUV',
}


@dataclass(frozen=True)
class Header:
    """What a file is.

    Attributes:
        driver: GDAL's only driver that may open it; None for unknown formats.
        size: Height and width, where that is known without decoding.
        plain: Whether OpenCV gives the stored pixels: 8 bits, one or three channels,
            no transparency.
        animated: Whether it holds pictures that follow each other.
    """

    driver: str | None
    size: tuple[int, int] | None = None
    plain: bool = False
    animated: bool = False


def read_header(data: bytes) -> Header:
    """Tells a file's format from its first bytes.

    Args:
        data: The file.
    """
    if data.startswith(_JPEG):
        return _jpeg(data)
    if data.startswith(_PNG) and len(data) >= 33:
        return _png(data)
    if data[:4] in _TIFF:
        return Header('GTiff')
    if data.startswith(_JPEG_2000):
        return Header('JP2OpenJPEG')
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP':
        return _webp(data)
    if data.startswith(b'BM'):
        return Header('BMP')
    return Header(None)


def jpeg_is_whole(data: bytes) -> bool:
    """Whether a JPEG has its end; bytes may follow it.

    OpenCV before version 5 fills what is missing with grey and says nothing.
    """
    end = data.rfind(b'\xff\xd9')
    # A thumbnail in the header has an end of its own, before the scan.
    if end >= 0 and data.find(b'\xff\xda', end) < 0:
        return True
    return any(marker == _END for marker, _ in _segments(data))


def orientation(data: bytes) -> int:
    """The Orientation tag of a JPEG, PNG, WebP or TIFF: 1...8, 1 if there is none."""
    try:
        if data[:4] in _TIFF:
            value = _tiff_tags(io.BytesIO(data)).get(ORIENTATION, 1)
        else:
            with Image.open(io.BytesIO(data)) as image:
                value = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error):
        return 1  # a damaged tag turns nothing
    return int(value) if value in range(1, 9) else 1


def unsupported_colors(file: BinaryIO) -> str | None:
    """The name of a TIFF's colour space where it can't be shown rightly.

    Args:
        file: The TIFF, at its beginning.
    """
    try:
        return _UNSUPPORTED.get(_tiff_tags(file).get(_PHOTOMETRIC, 0))
    except (OSError, SyntaxError, ValueError, struct.error):
        return None  # GDAL explains what is wrong with the file


def _jpeg(data: bytes) -> Header:
    for marker, start in _segments(data):
        if marker in _FRAMES:
            if len(data) < start + 8:
                break
            bits, height, width, channels = struct.unpack_from('>BHHB', data, start + 2)
            return Header('JPEG', (height, width), bits == 8 and channels in (1, 3))
        if marker == _SCAN:
            break
    return Header('JPEG')


def _png(data: bytes) -> Header:
    width, height, bits, color = struct.unpack_from('>IIBB', data, 16)
    opaque = b'tRNS' not in data[: data.find(b'IDAT')]
    return Header('PNG', (height, width), bits <= 8 and color in (0, 2) and opaque)


def _webp(data: bytes) -> Header:
    if data[12:16] == b'VP8X' and len(data) > 20:
        return Header('WEBP', animated=bool(data[20] & _ANIMATION))
    if data[12:16] != b'VP8 ' or len(data) < 30:  # lossless, or with transparency
        return Header('WEBP')
    width, height = struct.unpack_from('<HH', data, 26)
    return Header('WEBP', (height & 0x3FFF, width & 0x3FFF), plain=True)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of the length of each segment of a JPEG."""
    at = 2
    while at + 1 < len(data):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        at += 2
        if marker == 0xFF:
            at -= 1
            continue
        yield marker, at
        if marker == _END:
            return
        if marker in _ALONE:
            continue
        if at + 2 > len(data):
            return
        at += struct.unpack_from('>H', data, at)[0]
        if marker == _SCAN:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                return
            at = found.start()


def _tiff_tags(file: BinaryIO) -> TiffImagePlugin.ImageFileDirectory_v2:
    start = file.read(8)
    if 43 in start[2:4]:  # BigTIFF
        start += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(start)
    file.seek(tags.next)
    tags.load(file)
    return tags
