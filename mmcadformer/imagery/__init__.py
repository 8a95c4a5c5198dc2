# SPDX-License-Identifier: Apache-2.0
"""The one reader of pictures: bands, depth, stretch, missing pixels, orientation."""

from .headers import orientation, read_header
from .picture import FILL, MAX_PIXELS, check_size, read_picture, turn
from .raster import Raster, limited_cache
from .reading import Picture, Reading

__all__ = [
    'FILL',
    'MAX_PIXELS',
    'Picture',
    'Raster',
    'Reading',
    'check_size',
    'limited_cache',
    'orientation',
    'read_header',
    'read_picture',
    'turn',
]
