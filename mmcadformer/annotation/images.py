# SPDX-License-Identifier: Apache-2.0
"""Reads images as training will read them."""

from __future__ import annotations

import io
from pathlib import Path

import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError


def read_image(path: Path) -> tuple[np.ndarray, bytes]:
    """Reads an image whole or not at all.

    Args:
        path: Image file.

    Returns:
        RGB uint8 (H, W, 3), and the bytes of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, or its end is missing.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'image {path} does not exist') from None
    _check_complete(data)
    image = mmcv.imfrombytes(data) if data else None
    if image is None:
        raise ValueError('this is no image that can be read')
    return np.ascontiguousarray(image[..., ::-1]), data


def _check_complete(data):
    """Raise for truncated files, which OpenCV fills with grey in silence."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except UnidentifiedImageError:
        return  # a format that OpenCV may know
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'the image is damaged ({error})') from None
