# SPDX-License-Identifier: Apache-2.0
"""How an expression tells its object from others, by word lists and a few rules."""

from __future__ import annotations

import re

from . import lexicon as lex

EXPRESSION_TYPES = ('position', 'relation', 'attribute', 'combination', 'other')
"""In the order of tables: a place in the image, a place relative to something
else, a property such as colour or size, several of these, none of these."""

_LOCATIONS = frozenset(('in', 'on', 'at'))
_CONNECTIONS = frozenset(('to', 'from', 'by', 'of', 'away', 'with'))
_FILLERS = lex.DETERMINERS | lex.DEGREE
_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|[,;]")


def find_types(expression: str, category: str = '') -> frozenset[str]:
    """Finds everything that an expression says about its object beyond the name.

    lex.Words about another object, which the target is placed relative to, don't count:
    'left of the red tank' is a relation, and not also a colour.

    Args:
        expression: A sentence or phrase in English.
        category: Name of the target's category, whose words don't count ('large'
            in 'large vehicle').

    Returns:
        Some of 'position', 'relation' and 'attribute', or nothing.
    """
    words = _TOKEN.findall(expression.lower())
    words = _without(words, _TOKEN.findall(category.lower()))
    types, i = set(), 0
    while i < len(words):
        kind, i = _read(words, i)
        if kind is not None:
            types.add(kind)
    return frozenset(types)


def classify_expression(expression: str, category: str = '') -> str:
    """Puts an expression into one of :data:`EXPRESSION_TYPES`."""
    types = find_types(expression, category)
    if len(types) > 1:
        return 'combination'
    return next(iter(types), 'other')


def _without(words: list[str], name: list[str]) -> list[str]:
    """lex.Words without the first occurrence of a name."""
    for start in range(len(words) - len(name) + 1):
        if name and words[start : start + len(name)] == name:
            return words[:start] + ['object'] + words[start + len(name) :]
    return words


def _read(words: list[str], i: int) -> tuple[str | None, int]:
    """Type of the phrase that begins at a word, if one does, and where to go on."""
    word = words[i]
    if word in lex.EXTREME_PLACES:
        return 'position', i + 1
    if word in lex.PLACES:
        return _read_place(words, i)
    if word in lex.RELATED:
        landmark = _skip(words, i + 1, lex.RELATED | _CONNECTIONS | _FILLERS)
        place = _skip_place(words, landmark)
        if place is not None:
            return 'position', place
        if landmark == len(words):  # "the car nearby"
            return 'relation', landmark
        return 'relation', _skip_landmark(words, landmark)
    if word in _LOCATIONS:
        return _read_location(words, i)
    return ('attribute' if word in lex.PROPERTIES else None), i + 1


def _read_place(words: list[str], i: int) -> tuple[str, int]:
    """'left' alone is a place in the image, 'left of the tank' is not."""
    end = _skip(words, i + 1, lex.PLACES | lex.PARTS)
    if end < len(words) and words[end] in ('of', 'to', 'from'):
        landmark = _skip(words, end + 1, _FILLERS)
        place = _skip_place(words, landmark)
        if place is not None:
            return 'position', place
        if landmark < len(words):
            return 'relation', _skip_landmark(words, landmark)
    return 'position', end


def _read_location(words: list[str], i: int) -> tuple[str | None, int]:
    """'on the road' is a relation; 'in the image' and 'in red' are not."""
    if words[i : i + 3] == ['in', 'front', 'of']:
        return 'relation', _skip_landmark(words, i + 3)
    landmark = _skip(words, i + 1, _FILLERS)
    known = (
        lex.PLACES
        | lex.EXTREME_PLACES
        | lex.RELATED
        | lex.IMAGE
        | lex.PARTS
        | lex.PROPERTIES
    )
    if landmark == len(words) or words[landmark] in known:
        return None, landmark
    return 'relation', _skip_landmark(words, landmark)


def _skip(words: list[str], i: int, which: lex.Words) -> int:
    while i < len(words) and words[i] in which:
        i += 1
    return i


def _skip_place(words: list[str], i: int) -> int | None:
    """End of a part of the image ('left edge of the image'); None for other things."""
    end = _skip(words, i, lex.PLACES | lex.PARTS | lex.IMAGE)
    if end == i:
        return None
    if end == len(words) or words[end] in (',', ';', 'and', 'is'):
        return end
    if words[end] == 'of':
        image = _skip(words, end + 1, _FILLERS)
        return image + 1 if image < len(words) and words[image] in lex.IMAGE else None
    # "near the left tank", but "on the left side near the tank".
    named = words[end - 1] in lex.PARTS | lex.IMAGE
    return end if named or words[end] in lex.RELATED | _LOCATIONS else None


def _skip_landmark(words: list[str], i: int) -> int:
    """End of the description of another object."""
    resuming = lex.RELATED | lex.PLACES | _LOCATIONS | _CONNECTIONS
    while i < len(words):
        following = words[i + 1] if i + 1 < len(words) else ''
        if words[i] in (',', ';') or (words[i] == 'and' and following in resuming):
            return i + 1
        # "which is red" still speaks of the landmark.
        if words[i] in ('is', 'are') and words[i - 1] not in ('that', 'which'):
            return i + 1
        i += 1
    return i
