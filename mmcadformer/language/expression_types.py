# SPDX-License-Identifier: Apache-2.0
"""How an expression tells its object from others, by word lists and a few rules."""

from __future__ import annotations

import re

EXPRESSION_TYPES = ('position', 'relation', 'attribute', 'combination', 'other')
"""In the order of tables: a place in the image, a place relative to something
else, a property such as colour or size, several of these, none of these."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DIRECTIONS = _words(
    'left right top bottom upper lower middle center centre central centered north '
    'south east west northern southern eastern western northeast northwest southeast '
    'southwest northeastern northwestern southeastern southwestern corner'
)
_EXTREMES = _words(
    'leftmost rightmost topmost bottommost uppermost lowermost northernmost '
    'southernmost easternmost westernmost'
)
_PARTS = _words(
    'side sides part parts area corner corners edge edges border borders margin end '
    'half quarter region portion section hand boundary most'
)
_IMAGE = _words('image picture photo photograph scene frame view map')
_RELATIONS = _words(
    'above below beneath under underneath over beside besides near nearby between '
    'behind inside outside within around along alongside against across opposite '
    'adjacent next close closer nearest closest farthest furthest farther further '
    'beyond among surrounding surrounded amid past'
)
_LOCATIONS = _words('in on at')
_CONNECTIONS = _words('to from by of away with')
_DETERMINERS = _words('the a an this that these those its their another other very far')
_ATTRIBUTES = _words(
    # colours
    'white black gray grey red green blue yellow orange brown purple pink cyan beige '
    'tan silver golden dark light bright pale colored coloured colorful colourful '
    # sizes
    'large larger largest big bigger biggest small smaller smallest tiny huge giant '
    'medium long longer longest short shorter shortest tall taller tallest wide wider '
    'widest narrow narrower narrowest thin thick sized '
    # shapes, materials, states
    'round circular square rectangular triangular oval elliptical curved straight '
    'shaped striped wooden metal concrete grassy sandy muddy clean dirty empty full '
    'bare old new broken damaged abandoned parked moored moving'
)
_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|[,;]")


def find_types(expression: str, category: str = '') -> frozenset[str]:
    """Finds everything that an expression says about its object beyond the name.

    Words about another object, which the target is placed relative to, don't count:
    'left of the red tank' is a relation, and not also a colour.

    Args:
        expression: A sentence or phrase in English.
        category: Name of the target's category, whose words don't count ('large'
            in 'large vehicle').

    Returns:
        Some of 'position', 'relation' and 'attribute'; empty if the words say
        nothing of the kind.
    """
    words = _tokenize(expression)
    words = _without(words, _tokenize(category))
    types, i = set(), 0
    while i < len(words):
        kind, i = _read(words, i)
        if kind is not None:
            types.add(kind)
    return frozenset(types)


def classify_expression(expression: str, category: str = '') -> str:
    """Puts an expression into one class.

    Args:
        expression, category: See :func:`find_types`.

    Returns:
        One of :data:`EXPRESSION_TYPES`.
    """
    types = find_types(expression, category)
    if len(types) > 1:
        return 'combination'
    return next(iter(types), 'other')


def _tokenize(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _without(words: list[str], name: list[str]) -> list[str]:
    """Words without the first occurrence of a name."""
    for start in range(len(words) - len(name) + 1):
        if name and words[start : start + len(name)] == name:
            return words[:start] + ['object'] + words[start + len(name) :]
    return words


def _read(words: list[str], i: int) -> tuple[str | None, int]:
    """Type of the phrase that begins at a word, if one does, and where to go on."""
    word = words[i]
    if word in _EXTREMES:
        return 'position', i + 1
    if word in _DIRECTIONS:
        return _read_direction(words, i)
    if word in _RELATIONS:
        landmark = _skip(words, i + 1, _RELATIONS | _CONNECTIONS | _DETERMINERS)
        place = _skip_place(words, landmark)
        if place is not None:
            return 'position', place
        if landmark == len(words):  # "the car nearby"
            return 'relation', landmark
        return 'relation', _skip_landmark(words, landmark)
    if word in _LOCATIONS:
        return _read_location(words, i)
    return ('attribute' if word in _ATTRIBUTES else None), i + 1


def _read_direction(words: list[str], i: int) -> tuple[str, int]:
    """'left' alone is a place in the image, 'left of the tank' is not."""
    end = _skip(words, i + 1, _DIRECTIONS | _PARTS)
    if end < len(words) and words[end] in ('of', 'to', 'from'):
        landmark = _skip(words, end + 1, _DETERMINERS)
        place = _skip_place(words, landmark)
        if place is not None:
            return 'position', place
        if landmark < len(words):
            return 'relation', _skip_landmark(words, landmark)
    return 'position', end


def _read_location(words: list[str], i: int) -> tuple[str | None, int]:
    """'on the road' is a relation; 'in the image' and 'in red' are none."""
    if words[i : i + 3] == ['in', 'front', 'of']:
        return 'relation', _skip_landmark(words, i + 3)
    landmark = _skip(words, i + 1, _DETERMINERS)
    known = _DIRECTIONS | _EXTREMES | _RELATIONS | _IMAGE | _PARTS | _ATTRIBUTES
    if landmark == len(words) or words[landmark] in known:
        return None, landmark
    return 'relation', _skip_landmark(words, landmark)


def _skip(words: list[str], i: int, which: frozenset[str]) -> int:
    while i < len(words) and words[i] in which:
        i += 1
    return i


def _skip_place(words: list[str], i: int) -> int | None:
    """End of a part of the image ('left edge of the image'); None for other things."""
    end = _skip(words, i, _DIRECTIONS | _PARTS | _IMAGE)
    if end == i:
        return None
    if end == len(words) or words[end] in (',', ';', 'and', 'is'):
        return end
    if words[end] == 'of':
        image = _skip(words, end + 1, _DETERMINERS)
        if image < len(words) and words[image] in _IMAGE:
            return image + 1
        return None
    # "near the left tank", but "on the left side near the tank".
    named = words[end - 1] in _PARTS | _IMAGE
    return end if named or words[end] in _RELATIONS | _LOCATIONS else None


def _skip_landmark(words: list[str], i: int) -> int:
    """End of the description of another object."""
    resuming = _RELATIONS | _DIRECTIONS | _LOCATIONS | _CONNECTIONS
    while i < len(words):
        following = words[i + 1] if i + 1 < len(words) else ''
        if words[i] in (',', ';') or (words[i] == 'and' and following in resuming):
            return i + 1
        # "which is red" still speaks of the landmark.
        if words[i] in ('is', 'are') and words[i - 1] not in ('that', 'which'):
            return i + 1
        i += 1
    return i
