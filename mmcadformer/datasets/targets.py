# SPDX-License-Identifier: Apache-2.0
"""How many objects a sentence means: none, one or several.

In a record, ``segmentation`` is None for none. For several, ``ann_id`` is a tuple of
ids, ``segmentation`` has the parts of all of them, ``category`` all their names, and
``targets`` has ``ann_id``, ``category`` and ``segmentation`` of each. ``kind`` is there
where a sentence means several, also by one mask, or where it is known why it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .masks import is_mask_file, segments_of
from .records import Id, Record

ONE, SEVERAL, NONE = 'one', 'several', 'none'
ABSENCES = ('category', 'attribute', 'relation')
"""Why there is no target: nothing of this category; some, but none of this colour or
size; some, but none at this place or in this relation to another object."""
EXPRESSION_KINDS = (ONE, SEVERAL, NONE, *(f'{NONE}/{why}' for why in ABSENCES))
NO_CATEGORY = 'none'
"""Category of a sentence that means nothing, where nobody says what it looks for."""
_TARGET_KEYS = ('ann_id', 'category', 'segmentation')


def kind_of(record: Record) -> str:
    """Which of the :data:`EXPRESSION_KINDS` a record's sentences are."""
    return record.get('kind') or (NONE if record['segmentation'] is None else ONE)


def stated_kind(record: Record) -> str | None:
    """The kind, where the number of targets on disk doesn't tell it."""
    return None if 'targets' in record else record.get('kind')


def targets_of(record: Record) -> list[Record]:
    """``ann_id``, ``category`` and ``segmentation`` of each target; none for none."""
    if record['segmentation'] is None:
        return []
    if 'targets' in record:
        return record['targets']
    return [{key: record[key] for key in _TARGET_KEYS}]


def target_ids(record: Record) -> frozenset[Id]:
    """Ids of the targets."""
    return frozenset(target['ann_id'] for target in targets_of(record))


def target_key(record: Record) -> object:
    """The same for records that mean the same objects; None for none."""
    return None if record['segmentation'] is None else record['ann_id']


def record_targets(targets: Sequence[Record], kind: str | None = None) -> Record:
    """The keys of a record that tell its targets, of which there is at least one.

    ``kind`` is stated where one target is several objects.
    """
    stated = {} if kind in (None, ONE) else dict(kind=kind)
    if len(targets) == 1:
        return {**{key: targets[0][key] for key in _TARGET_KEYS}, **stated}
    names = sorted({target['category'] for target in targets})
    return dict(
        ann_id=tuple(target['ann_id'] for target in targets),
        category=' and '.join(names),
        kind=SEVERAL,
        segmentation=[part for t in targets for part in _parts(t['segmentation'])],
        targets=[
            {key: target[key] for key in (*_TARGET_KEYS, 'attributes') if key in target}
            for target in targets
        ],
    )


def no_target(
    ann_id: object = (), category: str | None = None, kind: str = NONE
) -> Record:
    """The keys of a record that say that there is none."""
    stated = {} if kind == NONE else dict(kind=kind)
    return dict(
        ann_id=ann_id, category=category or NO_CATEGORY, segmentation=None, **stated
    )


def check_kind(kind: object, count: int) -> None:
    """ValueError unless a kind is known and fits the number of targets."""
    if kind not in EXPRESSION_KINDS:
        raise ValueError(f'kind must be one of {", ".join(EXPRESSION_KINDS)}')
    nothing = str(kind).startswith(NONE)
    if nothing != (count == 0) or (kind == ONE and count > 1):
        raise ValueError(f'kind {kind!r} does not fit {count} masks')


def without_repetition(targets: Iterable[Record]) -> list[Record]:
    """Targets with different ids, in their order."""
    return list({target['ann_id']: target for target in targets}.values())


def _parts(segmentation: object) -> list:
    return [segmentation] if is_mask_file(segmentation) else segments_of(segmentation)
