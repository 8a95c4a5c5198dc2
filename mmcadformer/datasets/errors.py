# SPDX-License-Identifier: Apache-2.0
"""Damage in annotations."""

from __future__ import annotations

from collections.abc import Callable

from .records import Id


class AnnotationError(ValueError):
    """Something is wrong with an annotation file or an entry of it.

    Args:
        kind: Sort of damage, a key of :data:`KINDS`.
        message: What is wrong, with file and entry.
        ref_id: Object that can't be used because of it.
        original_id: What the object was called before a conversion, if that differs.
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
