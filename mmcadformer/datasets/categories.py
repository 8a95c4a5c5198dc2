# SPDX-License-Identifier: Apache-2.0
"""Samples that show everything of a category at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .masks import is_mask_file, segments_of
from .records import Record

PLACEHOLDER = '{category}'


def category_objects(
    objects: Iterable[Record], expressions: Sequence[str]
) -> list[Record]:
    """One record per image and category, whose mask is all of its objects.

    They come in the order in which images and categories occur first. Objects
    without a mask (expressions that refer to nothing) take no part. ``{category}`` in
    the expressions stands for the category's name.

    Raises:
        ValueError: Masks are files of their own, which can't be put together.
    """
    groups: dict[tuple, list[Record]] = {}
    for obj in objects:
        if obj['segmentation'] is not None:
            groups.setdefault((obj['image_id'], obj['category']), []).append(obj)
    return [_together(group, expressions) for group in groups.values()]


def _together(group: Sequence[Record], expressions: Sequence[str]) -> Record:
    """Record of all objects of one image and category."""
    first = group[0]
    ref_id = f'{first["image_id"]}/{first["category"]}'
    return dict(
        first,
        ref_id=ref_id,
        ann_id=ref_id,
        segmentation=[segment for obj in group for segment in _segments(obj)],
        expressions=[
            text.replace(PLACEHOLDER, first['category']) for text in expressions
        ],
        sent_ids=[f'{ref_id}/{i}' for i in range(len(expressions))],
    )


def _segments(obj: Record) -> list:
    segmentation = obj['segmentation']
    if is_mask_file(segmentation):
        raise ValueError(
            f'{obj["img_path"]}, ref_id {obj["ref_id"]!r}: category_expressions need '
            f'polygons or RLEs, not mask files such as {segmentation["file"]}'
        )
    return segments_of(segmentation)
