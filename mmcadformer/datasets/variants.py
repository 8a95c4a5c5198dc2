# SPDX-License-Identifier: Apache-2.0
"""Other samples of the same data.

Wrong expressions, all objects of a category, sentences of one language, objects that
share a sentence together, sentences whose category isn't there.
"""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from ..utils.text import normalize
from .masks import is_mask_file, segments_of
from .records import Id, Record
from .targets import (
    ABSENCES,
    NONE,
    no_target,
    record_targets,
    target_ids,
    targets_of,
    without_repetition,
)

_SEED = 0
_DRAWS = 20  # sentences to look at before an image goes without
PLACEHOLDER = '{category}'
LANGUAGES = ('en', 'zh')


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
    """Sentences about other objects that don't also name one of these, sorted."""
    mine = target_ids(record)
    foreign: set[str] = set()
    own: set[str] = set()
    for other in neighbours:
        theirs = target_ids(other)
        shared = mine & theirs or mine == theirs
        (own if shared else foreign).add(other['expressions'][0])
    return sorted(foreign - own)


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
        for target in targets_of(obj):
            group = groups.setdefault((obj['image_id'], target['category']), [])
            there = 'targets' in obj and target['ann_id'] in map(_ann_id, group)
            if not there:
                group.append(dict(_plain(obj), **target))
    return [_together(group, expressions) for group in groups.values()]


def _ann_id(record: Record) -> object:
    return record['ann_id']


def _plain(obj: Record) -> Record:
    """A record without what is true of its own sentences only."""
    return {key: obj[key] for key in obj if key not in ('targets', 'kind')}


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


def sentences_in(objects: Iterable[Record], language: str) -> list[Record]:
    """Objects with their sentences of one language alone; those without are left out.

    Chinese (``'zh'``) is what has a Chinese character, English (``'en'``) the rest.
    """
    kept = []
    for obj in objects:
        pairs = [
            pair
            for pair in zip(obj['expressions'], obj['sent_ids'], strict=True)
            if _is_chinese(pair[0]) == (language == 'zh')
        ]
        if pairs:
            texts, ids = zip(*pairs, strict=True)
            kept.append(dict(obj, expressions=list(texts), sent_ids=list(ids)))
    return kept


def _is_chinese(text: str) -> bool:
    return any('CJK' in unicodedata.name(letter, '') for letter in text)


def merge_expressions(objects: Sequence[Record]) -> list[Record]:
    """Objects of one image and split that share a sentence become targets of one.

    The record of such a sentence stands where its first object was, with the ids of
    both joined by ``+`` as ``ref_id``; the others keep what is said of them alone.
    Case, spaces and a final stop don't count. Sentences without a target stay.
    """
    groups: dict[tuple, list[int]] = defaultdict(list)
    for index, obj in enumerate(objects):
        if obj['segmentation'] is not None:
            for text in dict.fromkeys(map(normalize, obj['expressions'])):
                groups[obj['img_path'], obj['split'], text].append(index)
    shared = {
        key: group
        for key, group in groups.items()
        if len({target_ids(objects[i]) for i in group}) > 1
    }
    together: dict[tuple[int, ...], list[str]] = defaultdict(list)
    taken: dict[int, set[str]] = defaultdict(set)
    for (_, _, text), group in shared.items():
        together[tuple(group)].append(text)
        for index in group:
            taken[index].add(text)
    merged = defaultdict(list)
    for indices, texts in together.items():
        merged[indices[0]].append(_merge([objects[i] for i in indices], texts))
    records = []
    for index, obj in enumerate(objects):
        rest = _with_sentences(obj, exclude=taken[index])
        records += [rest] if rest['expressions'] else []
        records += merged[index]
    return records


def _with_sentences(obj: Record, exclude: Collection[str]) -> Record:
    """A record without those sentences whose normalized texts are excluded."""
    pairs = zip(obj['expressions'], obj['sent_ids'], strict=True)
    kept = [pair for pair in pairs if normalize(pair[0]) not in exclude]
    return dict(
        obj,
        expressions=[text for text, _ in kept],
        sent_ids=[sent_id for _, sent_id in kept],
    )


def _merge(group: Sequence[Record], texts: Collection[str]) -> Record:
    """One record of all objects of a group, and these sentences of the first."""
    others = {normalize(text) for text in group[0]['expressions']}.difference(texts)
    first = _with_sentences(group[0], exclude=others)
    targets = [target for obj in group for target in targets_of(obj)]
    return dict(
        _plain(first),
        **record_targets(without_repetition(targets)),
        ref_id='+'.join(str(obj['ref_id']) for obj in group),
    )


def absent_expressions(objects: Sequence[Record], share: float) -> list[Record]:
    """Sentences of other images, for images that have nothing of their category.

    For each record with a target, with the probability ``share``, there is one: the
    sentence of a record of another image of its split whose categories don't occur in
    this one. That holds only where all objects of the data set's categories are
    annotated. The draw depends on the record alone, not on a global state.
    """
    split_of = defaultdict(list)
    there: dict[Id, set[str]] = defaultdict(set)
    for obj in objects:
        names = {target['category'] for target in targets_of(obj)}
        there[obj['image_id']] |= names
        if names:
            split_of[obj['split']].append((names, obj))
    found = []
    for own, obj in (pair for group in split_of.values() for pair in group):
        draw = random.Random(f'{_SEED}/absent/{obj["ref_id"]}')
        if not own or draw.random() >= share:
            continue
        foreign = [
            (names, other)
            for names, other in draw.choices(split_of[obj['split']], k=_DRAWS)
            if not names & there[obj['image_id']]
        ]
        if foreign:
            found.append(_absent(obj, foreign[0][1], draw))
    return found


def _absent(obj: Record, other: Record, draw: random.Random) -> Record:
    """A sentence of another record, said of this one's image."""
    text = draw.choice(other['expressions'])
    ref_id = f'{obj["ref_id"]}/absent'
    return dict(
        _plain(obj),
        **no_target((), other['category'], f'{NONE}/{ABSENCES[0]}'),
        ref_id=ref_id,
        expressions=[text],
        sent_ids=[ref_id],
    )
