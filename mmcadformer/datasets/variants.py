# SPDX-License-Identifier: Apache-2.0
"""Other samples of the same data: wrong expressions, all objects of a category."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from .masks import is_mask_file, segments_of
from .records import Record

_SEED = 0
PLACEHOLDER = '{category}'


def shuffle_expressions(records: Sequence[Record]) -> list[Record]:
    """Replaces each record's expression by that of another object of its image.

    A model that listens must get much worse; one that merely finds the salient
    object keeps its score. The draw depends on the record and its image's
    objects alone, not on their order, the process or any global state.

    Records whose image has no other object with a different sentence are left out.
    Everything but ``expressions`` stays as it is, so that results can be compared
    with those of a normal run line by line.
    """
    by_image = defaultdict(list)
    for record in records:
        by_image[record['img_path']].append(record)
    shuffled = []
    for record in records:
        foreign = _foreign_sentences(record, by_image[record['img_path']])
        if foreign:
            key = f'{_SEED}/{record["ref_id"]}/{record["sent_ids"][0]}'
            text = random.Random(key).choice(foreign)
            shuffled.append(dict(record, expressions=[text]))
    return shuffled


def _foreign_sentences(record: Record, neighbours: Iterable[Record]) -> list[str]:
    """Sentences about other objects that don't also name this one, sorted."""
    ann_id = record['ann_id']
    own = {n['expressions'][0] for n in neighbours if n['ann_id'] == ann_id}
    return sorted({n['expressions'][0] for n in neighbours} - own)


def category_objects(
    objects: Iterable[Record], expressions: Sequence[str]
) -> list[Record]:
    """One record per image and category, whose mask is all of its objects.

    They come in the order in which images and categories occur first. Objects
    without a mask (expressions that refer to nothing) take no part. ``{category}`` in
    the expressions stands for the category's name. ValueError for mask files, which
    can't be put together.
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
