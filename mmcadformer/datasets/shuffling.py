# SPDX-License-Identifier: Apache-2.0
"""Give objects the expressions of their neighbours: a test of language use."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from .records import Record

_SEED = 0


def shuffle_expressions(records: Sequence[Record]) -> list[Record]:
    """Replaces each record's expression by that of another object of its image.

    A model that listens must get much worse; one that merely finds the salient
    object keeps its score. The draw depends on the record and its image's
    objects alone, not on their order, the process or any global state.

    Args:
        records: One per sentence, as in testing.

    Returns:
        The records whose image holds another object with a different sentence.
        Everything but ``expressions`` stays as it is, so that results can be
        compared with those of a normal run line by line.
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
