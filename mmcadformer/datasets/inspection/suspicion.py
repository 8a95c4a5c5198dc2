# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set although each entry is in order."""

import re
from collections import Counter, defaultdict

from ..errors import AnnotationError
from ..formats.base import LEAVE_OUT

_USUAL_SPLIT = re.compile('train|val|test')


def repeated_ids(entries, source, per_split=False):
    """Ids that several entries have.

    Args:
        entries (list[dict]): Entries with ``ref_id`` and ``split``.
        source (str): File they are from.
        per_split (bool): Entries of different splits may have the same one.

    Returns:
        list[AnnotationError]: One per id.
    """
    counts = Counter(
        (entry['ref_id'], entry['split'] if per_split else None) for entry in entries
    )
    return [
        AnnotationError(
            'id',
            f'{source}: ref_id {ref_id!r} is used by more than one entry. {LEAVE_OUT}',
            ref_id,
        )
        for (ref_id, _), count in counts.items()
        if count > 1
    ]


def unusual_splits(entries, source):
    """Splits whose name says neither train, val nor test: often a typing error.

    Args:
        entries (list[dict]): Entries with ``ref_id`` and ``split``.
        source (str): File they are from.

    Returns:
        list[AnnotationError]: One per entry.
    """
    usual = {
        split: bool(_USUAL_SPLIT.search(split))
        for split in {entry['split'] for entry in entries}
    }
    return [
        AnnotationError(
            'unknown-split',
            f'{source}: ref_id {entry["ref_id"]!r} is in the split {entry["split"]!r}',
            entry['ref_id'],
        )
        for entry in entries
        if not usual[entry['split']]
    ]


def ambiguous_expressions(objects, image_key=None, mask_key=None):
    """Expressions that stand for several objects of one image.

    Args:
        objects (list[dict]): Records of objects.
        image_key (Callable, optional): What tells images of records apart; by
            default the path.
        mask_key (Callable, optional): What tells masks of records apart; by
            default the annotation.

    Returns:
        list[AnnotationError]: One per record concerned. Of the kind
        ``'repeated'`` where it has the same mask as an earlier one, otherwise
        ``'ambiguous'``.
    """
    image_key = image_key or (lambda obj: obj['img_path'])
    mask_key = mask_key or (lambda obj: obj['ann_id'])
    groups = defaultdict(list)
    for obj in objects:
        for text in {normalize(text) for text in obj['expressions']}:
            groups[image_key(obj), text].append(obj)
    found = []
    for (_, text), group in groups.items():
        if len(group) < 2:
            continue
        several = len({mask_key(obj) for obj in group}) > 1
        for obj in group if several else group[1:]:
            found.append(_remark(obj, text, several, group))
    return found


def _remark(obj, text, several, group):
    others = [other['ref_id'] for other in group if other is not obj]
    shared = f'{text!r} is said of ref_id {obj["ref_id"]!r} and of {_some(others)}'
    if several:
        return AnnotationError(
            'ambiguous', f'{obj["img_path"]}: {shared}', obj['ref_id']
        )
    return AnnotationError(
        'repeated', f'{obj["img_path"]}: {shared}, with one mask', obj['ref_id']
    )


def _some(values, most=3):
    shown = ', '.join(map(repr, values[:most]))
    return shown if len(values) <= most else f'{shown} and {len(values) - most} more'


def normalize(text):
    """Expression as it is compared: case, spaces and a final stop don't count."""
    return ' '.join(text.lower().split()).rstrip('. ')
