# SPDX-License-Identifier: Apache-2.0
"""Image files: what they are called, and reading those that are whole."""

import cv2
import numpy as np
from mmengine.fileio import get

IMAGE_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.jp2'}
_JPEG, _END_OF_IMAGE, _START_OF_SCAN = b'\xff\xd8\xff', b'\xff\xd9', b'\xff\xda'


def read_image(path, flag=cv2.IMREAD_UNCHANGED, backend_args=None):
    """Read an image and make sure that all of it is there.

    Args:
        path (str): The file.
        flag (int): OpenCV's, such as ``cv2.IMREAD_COLOR``.
        backend_args (dict, optional): Of MMEngine's file backend.

    Returns:
        np.ndarray: Pixels as OpenCV orders them: (H, W) or (H, W, BGR(A)).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, cut off or no image; the file is named.
    """
    data = get(path, backend_args=backend_args)
    check_whole(data, path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise ValueError(f'{path} is no readable image ({error})') from None
    if image is None:
        raise ValueError(f'{path} is cut off, damaged or no image')
    return image


def check_whole(data, path):
    """Refuse empty files and JPEGs without an end.

    OpenCV before version 5 fills what is missing of a JPEG with grey and says
    nothing.

    Args:
        data (bytes): Content of the file.
        path (str): The file, for messages.

    Raises:
        ValueError: It is empty or cut off.
    """
    if not data:
        raise ValueError(f'{path} is empty')
    if not data.startswith(_JPEG):
        return
    # A thumbnail in the header has an end of its own, before the scan.
    end = data.rfind(_END_OF_IMAGE)
    if end < 0 or data.find(_START_OF_SCAN, end) >= 0:
        raise ValueError(f'{path} is cut off: the JPEG has no end')
