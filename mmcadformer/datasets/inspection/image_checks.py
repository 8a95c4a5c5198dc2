# SPDX-License-Identifier: Apache-2.0
"""Check of one image file and the masks of the objects in it."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from ..image_files import read_image
from ..masks import load_mask


@dataclass(frozen=True)
class ImageJob:
    """An image and what is to be found in it.

    Attributes:
        path (str): The file.
        objects (tuple[tuple]): Of each object ``height``, ``width`` and
            ``segmentation`` as its record has them.
        backend_args (dict | None): Of MMEngine's file backend.
    """

    path: str
    objects: tuple
    backend_args: dict | None = None


@dataclass
class ImageResult:
    """What came of it.

    Attributes:
        error (str | None): What is wrong with the image.
        digest (str | None): Fingerprint of its pixels.
        masks (list[tuple[str | None, str | None]]): Of each object the kind of
            damage and what is wrong, or None and the fingerprint of the mask.
    """

    error: str | None
    digest: str | None
    masks: list


def check_image(job):
    """Decode an image and its masks.

    Args:
        job (ImageJob): The image.

    Returns:
        ImageResult: What was found.
    """
    error, digest, size = None, None, None
    try:
        # As the pipelines read it.
        image = read_image(job.path, cv2.IMREAD_COLOR, job.backend_args)
    except (OSError, ValueError) as problem:
        error = str(problem)
    else:
        digest, size = _digest(image), image.shape[:2]
    masks = [_check_mask(obj, size, job) for obj in job.objects]
    return ImageResult(error, digest, masks)


def _check_mask(obj, image_size, job):
    height, width, segmentation = obj
    stated = (height, width)
    if None not in stated and image_size not in (None, stated):
        return 'image', (
            f'the image is {image_size[0]} x {image_size[1]} px (height x width), '
            f'the annotations say {height} x {width}'
        )
    size = image_size or stated
    is_file = isinstance(segmentation, dict) and 'file' in segmentation
    if None in size and not is_file:
        return None, None
    try:
        mask = load_mask(segmentation, *size, job.backend_args)
    except FileNotFoundError:
        return 'mask', f'the mask file {segmentation["file"]} does not exist'
    except (OSError, ValueError) as problem:
        return 'mask', str(problem)
    return None, _digest(mask)


def _digest(pixels):
    """Fingerprint of an array."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()
