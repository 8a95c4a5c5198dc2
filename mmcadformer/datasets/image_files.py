# SPDX-License-Identifier: Apache-2.0
"""Image files: what they are called, and reading those that are whole."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
from mmengine.fileio import get
from PIL import Image, UnidentifiedImageError

IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.jp2'}
_JPEG, _END_OF_IMAGE, _START_OF_SCAN = b'\xff\xd8\xff', b'\xff\xd9', b'\xff\xda'


def read_image(
    path: str | os.PathLike,
    flag: int = cv2.IMREAD_UNCHANGED,
    backend_args: dict | None = None,
) -> np.ndarray:
    """Pixels of an image that is all there: (H, W) or (H, W, BGR(A)), as ``flag`` says.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it is empty, cut off
            or not an image; the file is named.
    """
    return decode_image(get(path, backend_args=backend_args), str(path), flag)


def read_rgb(path: str | os.PathLike) -> tuple[np.ndarray, bytes]:
    """An image as training reads it, RGB uint8 (H, W, 3), and the bytes of its file.

    The whole file is examined before: those of all formats that are cut off are found,
    which takes as long as reading.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it isn't a whole image.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'image {path} does not exist') from None
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except UnidentifiedImageError:
        pass  # a format that OpenCV may know
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'the image is damaged ({error})') from None
    pixels = decode_image(data, 'the image', cv2.IMREAD_COLOR)
    return np.ascontiguousarray(pixels[..., ::-1]), data


def decode_image(data: bytes, name: str, flag: int) -> np.ndarray:
    """Pixels of an image in memory, or ValueError that calls it ``name``."""
    check_whole(data, name)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise ValueError(f'{name} is not a readable image ({error})') from None
    if image is None:
        raise ValueError(f'{name} is cut off, damaged or not an image')
    return image


def check_whole(data: bytes, name: str) -> None:
    """Raises ValueError for empty files and JPEGs without an end.

    OpenCV before version 5 fills what is missing of a JPEG with grey and says
    nothing.
    """
    if not data:
        raise ValueError(f'{name} is empty')
    if not data.startswith(_JPEG):
        return
    # A thumbnail in the header has an end of its own, before the scan.
    end = data.rfind(_END_OF_IMAGE)
    if end < 0 or data.find(_START_OF_SCAN, end) >= 0:
        raise ValueError(f'{name} is cut off: the JPEG has no end')
