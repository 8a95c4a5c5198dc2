# SPDX-License-Identifier: Apache-2.0
"""Records of objects: their ids, files, damage, and lists of those to leave out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from mmengine.fileio import get

from ..utils.plain_data import parse_json
from .masks import files_in

Record = dict[str, Any]
"""An object (see :class:`BaseReferringDataset`), or an entry that one is made from."""
Id = int | str


def is_id(value: object) -> bool:
    """Whether something can identify an entry."""
    # True is an int, and equals 1.
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def ids_of(entry: Record) -> set[str]:
    """The names by which an ``exclude_file`` can leave an entry out."""
    ids = entry['ref_id'], entry.get('original_id')
    return {str(value) for value in ids if value is not None}


def files_of(obj: Record) -> list[tuple[str, str]]:
    """``'image'`` or ``'mask'``, and the path, of each file that a record names."""
    files = [('image', obj['img_path'])]
    return files + [('mask', part['file']) for part in files_in(obj['segmentation'])]


def read_id_list(path: str | os.PathLike) -> set[str]:
    """Ids, as text, that an ``exclude_file`` names (see :class:`BaseReferringDataset`).

    ValueError where a file that ends in ``.json`` isn't a JSON list.
    """
    try:
        data = get(path)
    except FileNotFoundError:
        raise FileNotFoundError(f'exclude_file {path} does not exist') from None
    if str(path).endswith('.json'):
        try:
            ids = parse_json(data)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
        if not isinstance(ids, list):
            raise ValueError(f'{path}: expected a JSON list of ref_ids')
        return {str(ref_id) for ref_id in ids}
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 text ({error})') from None
    lines = (line.split('#')[0].strip() for line in text.split('\n'))
    return {line for line in lines if line}


def integer_ids(ids: Iterable[Id]) -> dict[Id, int]:
    """An integer for each id: itself, the one that its text spells, or a new one."""
    ids = list(dict.fromkeys(ids))
    numbers: dict[Id, int] = {value: value for value in ids if isinstance(value, int)}
    texts = [value for value in ids if isinstance(value, str)]
    taken = set(numbers.values())
    for text in texts:
        if text.isdecimal() and text == str(int(text)) and int(text) not in taken:
            numbers[text] = int(text)
            taken.add(int(text))
    fresh = count(max(taken, default=0) + 1)
    return {value: numbers[value] if value in numbers else next(fresh) for value in ids}


def numbered(key: str, numbers: Mapping[Id, int], value: Id) -> dict[str, Id]:
    """The integer of an id, and the id itself where that says something else."""
    number = numbers[value]
    same = str(number) == str(value)
    return {key: number} if same else {key: number, 'original_id': value}


class AnnotationError(ValueError):
    """Something is wrong with an annotation file or an entry of it.

    ``kind`` is a key of :data:`KINDS`, ``ref_id`` the object that can't be used because
    of it, ``original_id`` what that was called before a conversion, if it differs.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        ref_id: Id | None = None,
        original_id: Id | None = None,
    ) -> None:
        super().__init__(message)
        if kind not in KINDS:
            raise KeyError(f'unknown kind of damage {kind!r}')
        self.kind = kind
        self.ref_id = ref_id
        self.original_id = original_id

    def __reduce__(self) -> tuple:
        return type(self), (self.kind, str(self), self.ref_id, self.original_id)

    @property
    def ids(self) -> set[str]:
        """The names by which an ``exclude_file`` can leave the object out."""
        return {str(i) for i in (self.ref_id, self.original_id) if i is not None}


KINDS = {
    # What keeps an object from being used.
    'file': 'annotation file missing or unreadable',
    'entry': 'malformed entry',
    'id': 'id dangling or used twice',
    'split': 'no usable split',
    'expression': 'expression missing, empty or not text',
    'mask': 'mask malformed, of another size or empty',
    'image': 'image missing, cut off, unreadable or of another size',
    # What it can be used in spite of.
    'unknown-split': 'split with an unusual name',
    'category': 'category without a name',
    'outside': 'polygon reaches out of its image',
    'absent': 'sentence that is taken to mean nothing',
    'degenerate': 'polygons of fewer than three points, left out',
    'inverted': 'more than half of the image is target: is the mask inverted?',
    'picture': 'picture with other bands, another depth or doubtful values',
    'orientation': 'picture that viewers turn by its Orientation tag',
    'unused': 'damage in entries that no object uses',
    'leakage': 'same image in two splits',
    'ambiguous': 'same expression for different objects of one image',
    'repeated': 'object listed twice with the same expression',
}

_FIRST_WARNING = list(KINDS).index('unknown-split')
WARNINGS = frozenset(list(KINDS)[_FIRST_WARNING:])

Report = Callable[[AnnotationError], None]
"""Gets what is wrong with an entry."""


def fail(error: AnnotationError) -> None:
    """Report that raises what is more than a warning: the default."""
    if error.kind not in WARNINGS:
        raise error
