# SPDX-License-Identifier: Apache-2.0
"""The one reader of pictures: bands, depth, stretch, missing pixels, orientation."""

from .blocks import block_bytes
from .common import common_value_range
from .headers import jpeg_is_whole, orientation, read_header
from .picture import (
    FILL,
    MAX_PIXELS,
    READING_KEYS,
    check_size,
    read_picture,
    turn,
)
from .raster import Raster, limited_cache, open_raster
from .reading import Picture, Reading

__all__ = [
    'FILL',
    'MAX_PIXELS',
    'READING_KEYS',
    'Picture',
    'Raster',
    'Reading',
    'block_bytes',
    'check_size',
    'common_value_range',
    'jpeg_is_whole',
    'limited_cache',
    'open_raster',
    'orientation',
    'read_header',
    'read_picture',
    'turn',
]
