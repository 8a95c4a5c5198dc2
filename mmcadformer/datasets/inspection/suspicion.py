# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set although each entry is in order."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from ...utils.plain_data import shorten
from ...utils.text import normalize
from ..formats.base import LEAVE_OUT
from ..records import AnnotationError, Record
from ..targets import target_key

_USUAL_SPLIT = re.compile('train|val|test')


def repeated_ids(
    entries: Iterable[Record], source: str, per_split: bool = False
) -> list[AnnotationError]:
    """Ids that several entries have, one error each.

    If ``per_split``, entries of different splits may have the same one.
    """
    counts = Counter(
        (entry['ref_id'], entry['split'] if per_split else None) for entry in entries
    )
    return [
        AnnotationError(
            'id',
            f'{source}: ref_id {shorten(ref_id)} is used by more than one entry. '
            f'{LEAVE_OUT}',
            ref_id,
        )
        for (ref_id, _), count in counts.items()
        if count > 1
    ]


def unusual_splits(entries: Iterable[Record], source: str) -> list[AnnotationError]:
    """Entries whose split says neither train, val nor test: often a typing error."""
    return [
        AnnotationError(
            'unknown-split',
            f'{source}: ref_id {shorten(entry["ref_id"])} is in the split '
            f'{shorten(entry["split"])}',
            entry['ref_id'],
        )
        for entry in entries
        if not _USUAL_SPLIT.search(entry['split'])
    ]


def ambiguous_expressions(
    objects: Iterable[Record],
    image_key: Callable[[Record], object] = lambda obj: obj['img_path'],
    mask_key: Callable[[Record], object] = target_key,
) -> list[AnnotationError]:
    """Expressions that stand for several objects of one image: one error per record.

    It is of the kind ``'repeated'`` where the record has the same mask as an earlier
    one, otherwise ``'ambiguous'``. The keys say what tells images and masks apart.
    """
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


def _remark(
    obj: Record, text: str, several: bool, group: Sequence[Record]
) -> AnnotationError:
    others = [repr(other['ref_id']) for other in group if other is not obj]
    named = ', '.join(others[:3])
    if len(others) > 3:
        named += f' and {len(others) - 3} more'
    shared = (
        f'{shorten(text)} is said of ref_id {shorten(obj["ref_id"])} and of {named}'
    )
    kind = 'ambiguous' if several else 'repeated'
    ending = '' if several else ', with one mask'
    return AnnotationError(kind, f'{obj["img_path"]}: {shared}{ending}', obj['ref_id'])
