# SPDX-License-Identifier: Apache-2.0
"""Files of images and masks: what they are called, and values as they are stored."""

from __future__ import annotations

import os

import cv2
import numpy as np
from mmengine.fileio import get

from ..imagery import jpeg_is_whole

IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.jp2'}


def read_image(
    path: str | os.PathLike,
    flag: int = cv2.IMREAD_UNCHANGED,
    backend_args: dict | None = None,
) -> np.ndarray:
    """Reads what a file stores, such as a mask; for pictures see ``imagery``.

    Returns:
        Values as OpenCV's ``flag`` orders them: (H, W) or (H, W, BGR(A)).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, cut off or not an image; the file is named.
    """
    data = get(path, backend_args=backend_args)
    if not data:
        raise ValueError(f'{path} is empty')
    if data.startswith(b'\xff\xd8\xff') and not jpeg_is_whole(data):
        raise ValueError(f'{path} is cut off: the JPEG has no end')
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise ValueError(f'{path} is not a readable image ({error})') from None
    if image is None:
        raise ValueError(f'{path} is cut off, damaged or not an image')
    return image
