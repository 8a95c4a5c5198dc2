# SPDX-License-Identifier: Apache-2.0
"""The file of references of the RefCOCO layout, and gRefCOCO's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmengine.fileio import exists

from ...utils.plain_data import shorten
from ...utils.plain_pickle import load_plain_pickle
from ..records import (
    AnnotationError,
    Id,
    Record,
    Report,
    integer_ids,
    is_id,
    numbered,
)
from ..targets import NO_CATEGORY, NONE, no_target, stated_kind, targets_of
from .base import check_id, check_split, expect, parse_json_file, read_file, require

REFS_JSON, REFS_PICKLE = 'refs.json', 'refs(unc).p'
GREFS_JSON, GREFS_PICKLE = 'grefs(unc).json', 'grefs(unc).p'
NO_ID = -1
"""What gRefCOCO's lists hold where there is no target."""


def find_refs(folder: str, backend_args: dict | None = None) -> str:
    """The file of references in a folder, or FileNotFoundError."""
    for name in (REFS_JSON, REFS_PICKLE, GREFS_JSON, GREFS_PICKLE):
        path = os.path.join(folder, name)
        if exists(path, backend_args=backend_args):
            return path
    raise FileNotFoundError(
        f'none of {REFS_JSON}, {REFS_PICKLE}, {GREFS_JSON} and {GREFS_PICKLE} found in '
        f'{folder}'
    )


def read_refs(
    path: str, backend_args: dict | None = None, encoding: str = 'utf-8'
) -> list:
    """The references of a pickle, or of JSON if the name ends so; unchecked.

    ``encoding`` is that of strings in a pickle of Python 2.

    Raises:
        UnsafePickleError, AnnotationError: The pickle asks for more than plain data;
            the file can't be read or holds no list.
    """
    data = read_file(path, backend_args)
    if path.endswith('.json'):
        refs = parse_json_file(data, path)
    else:
        refs = load_plain_pickle(data, path, encoding)
    is_list, kind = isinstance(refs, list), type(refs).__name__
    expect(is_list, 'file', f'{path}: expected a list of references, got {kind}')
    return refs


def usable_references(
    refs: Iterable, path: str, report: Report, null: bool = False
) -> Iterator[Record]:
    """Entries that have all that they need; ``null`` as for their objects."""
    for position, ref in enumerate(refs):
        where = f'{path}: entry {position}'
        try:
            require(ref, ('ref_id', 'image_id', 'split', 'sentences'), where)
            expect('ann_id' in ref, 'entry', f"{where} has no 'ann_id'")
            ids_of_objects(ref, where, null)
            check_split(ref['split'], f'{path}: ref_id {ref["ref_id"]}')
        except AnnotationError as error:
            known = ref if isinstance(ref, dict) else {}
            ref_id = known.get('ref_id')
            error.ref_id = ref_id if is_id(ref_id) else f'entry-{position}'
            error.original_id = known.get('original_id')
            report(error)
        else:
            yield ref


def sentences_of(ref: Record, where: str) -> tuple[list, list]:
    """Texts and ids of a reference's sentences."""
    sentences = ref['sentences']
    is_list = isinstance(sentences, list)
    expect(is_list, 'expression', f'{where}: sentences must be a list')
    ids = ref.get('sent_ids')
    ids = ids if isinstance(ids, list) else []
    texts, sent_ids = [], []
    for position, sentence in enumerate(sentences):
        form = f"must be a dict with the text under 'raw', got {shorten(sentence)}"
        is_dict = isinstance(sentence, dict)
        expect(is_dict, 'expression', f'{where}: sentence {position} {form}')
        texts.append(sentence.get('raw') or sentence.get('sent'))
        fallback = ids[position] if position < len(ids) else position
        sent_ids.append(sentence.get('sent_id', fallback))
        check_id(sent_ids[-1], f'{where}: the id of sentence {position}')
    return texts, sent_ids


def ids_of_objects(
    ref: Record, where: str = 'the reference', null: bool = False
) -> list[Id]:
    """Ids of a reference's objects, each once: a list, or one id, or -1 for none.

    ``null``: whether null says the same as -1.
    """
    ids = ref['ann_id'] if isinstance(ref['ann_id'], list) else [ref['ann_id']]
    ids = [NO_ID if null and ann_id is None else ann_id for ann_id in ids]
    for ann_id in ids:
        check_id(ann_id, f'{where}: an ann_id')
    return [ann_id for ann_id in dict.fromkeys(ids) if ann_id != NO_ID]


def no_target_of(ref: Record) -> Record:
    """The keys of a record without a target."""
    category = ref.get('category')
    category = category if isinstance(category, str) and category else None
    return no_target(category=category, kind=ref.get('kind') or NONE)


def make_references(
    objects: Sequence[Record],
    names: Mapping[str, str],
    categories: Sequence[str],
    several: bool,
) -> list[Record]:
    """Entries of the file; with ``several``, objects are lists."""
    image_ids = integer_ids(obj['image_id'] for obj in objects)
    ann_ids = integer_ids(t['ann_id'] for obj in objects for t in targets_of(obj))
    objects = [obj for obj in objects if obj['expressions']]
    ref_ids = integer_ids(obj['ref_id'] for obj in objects)
    sent_ids = [sent_id for obj in objects for sent_id in obj['sent_ids']]
    if len(set(sent_ids)) < len(sent_ids):
        sent_ids = list(range(len(sent_ids)))
    sent_numbers, rest = integer_ids(sent_ids), iter(sent_ids)
    refs = []
    for obj in objects:
        sentences = [
            dict(
                numbered('sent_id', sent_numbers, next(rest)),
                sent=text.lower(),
                raw=text,
                tokens=text.lower().split(),
            )
            for text in obj['expressions']
        ]
        found = [
            (ann_ids[target['ann_id']], categories.index(target['category']) + 1)
            for target in targets_of(obj)
        ]
        ann_id, category_id = zip(*found or [(NO_ID, NO_ID)], strict=True)
        refs.append(
            dict(
                numbered('ref_id', ref_ids, obj['ref_id']),
                ann_id=list(ann_id) if several else ann_id[0],
                image_id=image_ids[obj['image_id']],
                category_id=list(category_id) if several else category_id[0],
                file_name=names[obj['img_path']],
                split=obj['split'],
                sent_ids=[sentence['sent_id'] for sentence in sentences],
                sentences=sentences,
                **(_about(obj) if several else {}),
            )
        )
    return refs


def _about(obj: Record) -> Record:
    """What a reference tells that gRefCOCO has no place for, and its ``no_target``."""
    about = dict(no_target=obj['segmentation'] is None)
    if about['no_target'] and obj['category'] != NO_CATEGORY:
        about['category'] = obj['category']
    kind = stated_kind(obj)
    return about if kind is None else dict(about, kind=kind)
