# SPDX-License-Identifier: Apache-2.0
"""Masks from the three forms that COCO annotations come in, and from files."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from typing import Any, TypeGuard

import numpy as np
from pycocotools import mask as mask_utils

from ..imagery import MAX_PIXELS
from ..utils.plain_data import shorten
from .mask_files import read_mask_file

Rle = dict[str, Any]
"""COCO's run lengths: ``size`` (height, width) and ``counts``."""
Segmentation = Rle | list
"""A list of polygons and RLEs, or one RLE; or a mask file in a record."""


def load_mask(
    segmentation: Segmentation | None,
    height: int | None = None,
    width: int | None = None,
    backend_args: dict | None = None,
) -> np.ndarray:
    """Mask of an object, uint8 (H, W), from whatever its record holds.

    It is 0 and 1; of a mask file with an ``ignore_value``, also 255 where that is.

    Args:
        segmentation: What :func:`decode_segmentation` takes; or a mask file,
            ``dict(file=path, above=grey value)``, whose pixels above the value
            are the target (see :class:`~mmcadformer.datasets.mask_files.MaskFiles`);
            a list with such files in it, whose union is the target; or None where the
            expression refers to nothing.
        height, width: Size of the image in pixels; only a mask file does without.

    Raises:
        FileNotFoundError: There is no such mask file.
        ValueError: The mask is damaged, of another size, or empty.
    """
    return load_mask_and_overlap(segmentation, height, width, backend_args)[0]


def load_mask_and_overlap(
    segmentation: Segmentation | None,
    height: int | None = None,
    width: int | None = None,
    backend_args: dict | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """The mask of :func:`load_mask`, and where parts of the annotation overlap.

    The second is uint8 (H, W), 1 on pixels that two or more parts cover, or None where
    there are none, as in nearly all annotations.
    """
    overlap = None
    if is_mask_file(segmentation):
        mask = read_mask_file(segmentation, backend_args)
        if height is not None and mask.shape != (height, width):
            raise ValueError(
                f'{segmentation["file"]} is {mask.shape[0]} x {mask.shape[1]} px '
                f'(height x width), its image {height} x {width}'
            )
    elif files_in(segmentation):
        mask = _union(segments_of(segmentation), height, width, backend_args)
    elif height is None or width is None:
        raise ValueError('the size of the image is needed to draw its mask')
    elif segmentation is None:
        return np.zeros((height, width), np.uint8), None
    else:
        rles = compressed_segments(segmentation, height, width)
        merged = mask_utils.merge(rles)
        mask = mask_utils.decode(merged)
        if mask_utils.area(rles).sum() > mask_utils.area(merged):
            count = sum(mask_utils.decode(rle).astype(np.int64) for rle in rles)
            overlap = (count > 1).astype(np.uint8)
    if not (mask == 1).any():
        what = segmentation['file'] if is_mask_file(segmentation) else 'segmentation'
        raise ValueError(f'{what} marks no pixel of the image')
    return mask, overlap


def _union(
    parts: list, height: int | None, width: int | None, backend_args: dict | None
) -> np.ndarray:
    """Mask of several parts: 1 where one is 1, else 255 where one is."""
    masks = [
        load_mask(part if is_mask_file(part) else [part], height, width, backend_args)
        for part in parts
    ]
    shapes = {mask.shape for mask in masks}
    if len(shapes) > 1:
        raise ValueError(f'the masks of one image have different sizes {shapes}')
    targets = np.stack(masks)
    return np.where((targets == 1).any(axis=0), 1, targets.max(axis=0))


def files_in(segmentation: object) -> list[Rle]:
    """The mask files that a record's segmentation is, or has among its parts."""
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    return [part for part in parts if is_mask_file(part)]


def is_mask_file(segmentation: object) -> TypeGuard[Rle]:
    """Whether a record's segmentation is a file of its own."""
    return isinstance(segmentation, dict) and 'file' in segmentation


def require_binary(mask: np.ndarray, segmentation: Segmentation | None) -> np.ndarray:
    """The mask, or ValueError if pixels are to be ignored, which no layout can say."""
    if mask.size and mask.max() > 1:
        file = files_in(segmentation)[0]['file']
        raise ValueError(
            f'{file} has pixels of the ignore_value, which can not be '
            'written: only mask files hold them'
        )
    return mask


def encode_mask(mask: np.ndarray) -> Rle:
    """RLE of a mask (H, W), with text as counts."""
    return text_rle(mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8)))


def text_rle(rle: Rle) -> Rle:
    """Compressed RLE as JSON can hold it."""
    counts = rle['counts']
    counts = counts.decode('ascii') if isinstance(counts, bytes) else counts
    return dict(size=[int(value) for value in rle['size']], counts=counts)


def segments_of(segmentation: object) -> list:
    """Polygons (flat lists of coordinates) and RLE dicts of a list, or one RLE dict.

    Anything else is a ValueError.
    """
    if isinstance(segmentation, dict):
        return [segmentation]
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(
            'segmentation must be a list of polygons, a list of RLE dicts or '
            f'an RLE dict, got {shorten(segmentation)}'
        )
    return segmentation


def without_degenerate(segmentation: Any) -> tuple[Any, int]:
    """A segmentation without polygons of fewer than three points, if others remain.

    Points and lines cover no pixel, and tools leave them beside good polygons. What
    has nothing else stays as it is, for :func:`check_segmentation` to refuse.

    Returns:
        The segmentation, and how many parts were left out.
    """
    if not isinstance(segmentation, list):
        return segmentation, 0
    good = [part for part in segmentation if not _is_degenerate(part)]
    if not good or len(good) == len(segmentation):
        return segmentation, 0
    return good, len(segmentation) - len(good)


def _is_degenerate(part: object) -> bool:
    return (
        isinstance(part, (list, tuple))
        and len(part) < 6
        and all(isinstance(number, (int, float)) for number in part)
    )


def rle_size(mask: Segmentation) -> tuple[int | None, int | None]:
    """Size that an RLE states; (None, None) for polygons."""
    for segment in segments_of(mask):
        if isinstance(segment, dict):
            match segment.get('size'):
                case [height, width] if _is_whole(height) and _is_whole(width):
                    return int(height), int(width)
            raise ValueError(
                f'RLE size must be [height, width], got {shorten(segment.get("size"))}'
            )
    return None, None


def _is_whole(value: Any) -> bool:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return 0 < value < inf and value == int(value)


def decode_rle(rle: object) -> np.ndarray:
    """Mask of an RLE, uint8 (H, W) of 0 and 1, in the size that it states.

    ValueError where it is malformed or larger than a picture may be.
    """
    if not isinstance(rle, dict):
        raise ValueError(f'expected a mask as RLE, got {shorten(rle)}')
    height, width = rle_size(rle)
    assert height is not None and width is not None  # as it is an RLE
    return decode_segmentation(rle, height, width)


def _check_size(height: float, width: float) -> None:
    """Refuses sizes that no memory holds; unknown ones are infinite."""
    if MAX_PIXELS < height * width < inf:
        raise ValueError(
            f'the mask has {width} x {height} px, more than max_pixels = {MAX_PIXELS}'
        )


def check_segmentation(segmentation: object, height: float, width: float) -> float:
    """How many pixels polygons reach out of the image, at least 0.

    It runs on every object when a dataset is indexed, so it decodes run
    lengths but draws no polygon.

    Raises:
        ValueError: A segment is malformed, of another size than the image, or outside.
    """
    _check_size(height, width)
    covered, overhang = False, 0.0
    for segment in segments_of(segmentation):
        if isinstance(segment, dict):
            covered |= _check_rle(segment, height, width)
        else:
            meets, beyond = _check_polygon(segment, height, width)
            covered |= meets
            overhang = max(overhang, beyond)
    if not covered:
        raise ValueError('segmentation marks no pixel of the image')
    return overhang


def decode_segmentation(segmentation: object, height: int, width: int) -> np.ndarray:
    """Union of the :func:`segments_of` an annotation, uint8 (H, W) of 0 and 1.

    Pixels where segments overlap belong to the mask (the published readers
    keep those whose count is exactly 1). RLE counts may be compressed (str or bytes)
    or plain lists. ValueError where a segment is malformed or has another size.
    """
    rles = compressed_segments(segmentation, height, width)
    return mask_utils.decode(mask_utils.merge(rles))


def compressed_segments(segmentation: object, height: int, width: int) -> list[Rle]:
    """Segments as pycocotools' compressed RLE; ValueError as for the mask."""
    _check_size(height, width)
    rles: list[Rle] = []
    for segment in segments_of(segmentation):
        if isinstance(segment, dict):
            _check_rle(segment, height, width)
            rles.append(_compressed(segment))
        else:
            _check_polygon(segment, height, width)
            rles.extend(mask_utils.frPyObjects([segment], height, width))
    return rles


def rle_counts(counts: str | bytes | Sequence[int]) -> np.ndarray:
    """int64 run lengths of an RLE, alternately background and target.

    Compressed counts are COCO's: each number in groups of five bits, least
    significant first, with 0x20 as continuation flag and an offset of 48;
    from the fourth on, a number is the difference to the one two before it.
    ValueError where they can't be read.
    """
    if not isinstance(counts, (str, bytes)):
        return _plain_counts(counts)
    if isinstance(counts, str):
        if not counts.isascii():
            raise ValueError('RLE counts hold characters that COCO never uses')
        counts = counts.encode()
    # Characters below 48 wrap around to large numbers.
    groups = np.frombuffer(counts, np.uint8) - np.uint8(48)
    last = groups < 32
    if not len(groups) or groups.max() > 63 or not last[-1]:
        raise ValueError(
            'RLE counts are cut off or hold characters that COCO never uses'
        )
    ends = last.nonzero()[0]
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > 11:
        raise ValueError('RLE counts hold a number beyond 55 bits')
    values = (groups[starts] & 31).astype(np.int64)
    for k in range(1, longest):
        longer = (lengths > k).nonzero()[0]
        part = (groups[starts[longer] + k] & 31).astype(np.int64)
        values[longer] |= part << (5 * k)
    negative = (groups[ends] & 16).nonzero()[0]
    values[negative] -= np.int64(1) << (5 * lengths[negative])
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values


def _plain_counts(counts: object) -> np.ndarray:
    if not isinstance(counts, (list, tuple)):
        raise ValueError(
            f'RLE counts must be a string or a list, got {shorten(counts)}'
        )
    try:
        values = np.asarray(counts, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError('RLE counts must be numbers') from None
    if values.ndim != 1 or not np.array_equal(values, np.round(values)):
        raise ValueError('RLE counts must be a flat list of whole numbers')
    return values.astype(np.int64)


def _check_rle(rle: Rle, height: float, width: float) -> bool:
    """Raises for an RLE that isn't one of the image; True if it has pixels."""
    if 'size' not in rle or 'counts' not in rle:
        raise ValueError(
            "RLE segment must have the keys 'size' and 'counts', "
            f'got {sorted(map(str, rle))}'
        )
    size = rle['size']
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        raise ValueError(
            f'RLE has the size (height, width) = {shorten(size)}, '
            f'its image has [{height}, {width}]'
        )
    counts = rle_counts(rle['counts'])
    covered = int(counts.sum())
    if covered != height * width or counts.min() < 0:
        raise ValueError(
            f'RLE counts are broken: they cover {covered} pixels of {height * width}'
        )
    return bool(counts[1::2].any())


def _check_polygon(polygon: object, height: float, width: float) -> tuple[bool, float]:
    """Whether the box of a polygon meets the image, and how far it reaches out."""
    if not isinstance(polygon, (list, tuple)):
        raise ValueError(
            f'segment must be a polygon or an RLE dict, got {shorten(polygon)}'
        )
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(
            'polygon must be a flat list of at least three x, y pairs, got '
            f'{len(polygon)} numbers'
        )
    try:
        finite = all(map(isfinite, polygon))
    except TypeError:
        raise ValueError('polygon must be a flat list of numbers') from None
    if not finite:
        raise ValueError('polygon has a coordinate that is not finite')
    xs, ys = polygon[::2], polygon[1::2]
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    meets = left < width and right > 0 and top < height and bottom > 0
    beyond = max(-left, right - width, -top, bottom - height)
    # Drawing takes memory by the length of the outline.
    if meets and beyond > max(height, width):
        raise ValueError(
            f'polygon reaches {beyond:g} px out of its image of {width} x '
            f'{height} px (width x height)'
        )
    return meets, beyond


def _compressed(rle: Rle) -> Rle:
    """RLE dict as pycocotools wants it."""
    height, width = rle['size']
    if isinstance(rle['counts'], (str, bytes)):
        return dict(size=[int(height), int(width)], counts=rle['counts'])
    counts = rle_counts(rle['counts']).tolist()
    return mask_utils.frPyObjects(
        dict(size=[int(height), int(width)], counts=counts), int(height), int(width)
    )
