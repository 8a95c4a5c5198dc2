# SPDX-License-Identifier: Apache-2.0
"""Segmentations as every layout can store them."""

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ...utils.parallel import map_tracked
from ..image_files import read_image
from ..masks import compressed_segments, load_mask, segments_of


def with_masks(objects, backend_args=None, workers=0, progress=True):
    """Records with sizes, and with masks that are JSON.

    Polygons stay as they are. Mask files, and RLE in whatever form, become
    lists of compressed RLE of exactly the same pixels.

    Args:
        objects (list[dict]): Records of objects.
        backend_args (dict, optional): Of MMEngine's file backend.
        workers (int): Processes; 0 for none.
        progress (bool): Show a bar.

    Returns:
        list[dict]: New records; ``segmentation`` is a list of polygons and RLE
        dicts with text as counts, or None for no target.
    """
    jobs = [
        (
            obj['img_path'],
            obj['height'],
            obj['width'],
            obj['segmentation'],
            backend_args,
        )
        for obj in objects
    ]
    results = map_tracked(_plain, jobs, workers, progress, chunksize=32)
    return [
        dict(obj, height=height, width=width, segmentation=segmentation)
        for obj, (height, width, segmentation) in zip(objects, results, strict=True)
    ]


def _plain(job):
    """Height, width and segmentation of an object."""
    path, height, width, segmentation, backend_args = job
    if isinstance(segmentation, dict) and 'file' in segmentation:
        mask = load_mask(segmentation, height, width, backend_args)
        return *mask.shape, [encode(mask)]
    if None in (height, width):
        image = read_image(path, cv2.IMREAD_COLOR, backend_args)
        height, width = image.shape[:2]
    if segmentation is None:
        return height, width, None
    segments = [
        _text_rle(compressed_segments(segment, height, width)[0])
        if isinstance(segment, dict)
        else segment
        for segment in segments_of(segmentation)
    ]
    return height, width, segments


def encode(mask):
    """dict: RLE of a mask, with text as counts."""
    return _text_rle(mask_utils.encode(np.asfortranarray(mask)))


def _text_rle(rle):
    counts = rle['counts']
    counts = counts.decode('ascii') if isinstance(counts, bytes) else counts
    return dict(size=[int(value) for value in rle['size']], counts=counts)


def require_targets(objects, layout):
    """Raise ValueError for an object that refers to nothing."""
    for obj in objects:
        if obj['segmentation'] is None:
            raise ValueError(
                f'ref_id {obj["ref_id"]!r} refers to nothing in {obj["img_path"]}; the '
                f'layout {layout} can not say so, only json can'
            )


def require_unique(objects):
    """Raise ValueError for a ``ref_id`` that is used twice."""
    seen = {}
    for obj in objects:
        other = seen.setdefault(obj['ref_id'], obj)
        if other is not obj:
            raise ValueError(
                f'ref_id {obj["ref_id"]!r} is used in the splits {other["split"]!r} '
                f'and {obj["split"]!r}; the new layout has one list of ids for all'
            )
