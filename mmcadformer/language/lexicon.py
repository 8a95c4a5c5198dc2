# SPDX-License-Identifier: Apache-2.0
"""The words of referring expressions, by what they tell; ``lexicon.yml`` lists them.

A direction is a step ``(dx, dy)`` with x to the right and y down. A *family*
maps directions to words of one kind ("upper", "lower"), so that mirroring an
image means exchanging words within their family.
"""

from __future__ import annotations

import re
from pathlib import Path

from mmengine import load

Step = tuple[int, int]
Family = dict[Step, str]
Words = frozenset[str]


_LISTS: dict[str, str] = load(Path(__file__).with_name('lexicon.yml'))


def _words(*names: str) -> Words:
    """The words of some lists together."""
    return frozenset(word for name in names for word in _LISTS[name].split())


def _joined(*families: Family) -> Words:
    return frozenset().union(*(family.values() for family in families))


# Directions -----------------------------------------------------------------

LEFT, RIGHT, UP, DOWN = (-1, 0), (1, 0), (0, -1), (0, 1)

SIDES: Family = {LEFT: 'left', RIGHT: 'right'}
ATTRIBUTES: Family = {UP: 'upper', DOWN: 'lower'}
ENDS: Family = {UP: 'top', DOWN: 'bottom'}
RELATIONS: Family = {UP: 'above', DOWN: 'below'}
EXTREMES: Family = {UP: 'uppermost', DOWN: 'lowermost'}
MOST: Family = {LEFT: 'leftmost', RIGHT: 'rightmost', UP: 'topmost', DOWN: 'bottommost'}
_WARD: Family = {LEFT: 'leftward', RIGHT: 'rightward', UP: 'upward', DOWN: 'downward'}
_WARDS: Family = {step: word + 's' for step, word in _WARD.items()}


def _compass_family(ending: str) -> Family:
    names = {UP: 'north', DOWN: 'south', LEFT: 'west', RIGHT: 'east'}
    family = {step: word + ending for step, word in names.items()}
    for dy in (UP, DOWN):
        for dx in (LEFT, RIGHT):
            family[dx[0], dy[1]] = names[dy] + names[dx] + ending
    return family


COMPASS_FAMILIES = tuple(
    _compass_family(ending)
    for ending in ('', 'ern', 'ernmost', 'most', 'erly', 'ward', 'wards', 'bound')
)
# A quarter turn stays inside the families with a word for every direction.
_COMPLETE_FAMILIES = (MOST, _WARD, _WARDS, *COMPASS_FAMILIES)
_FAMILIES = (*_COMPLETE_FAMILIES, SIDES, ATTRIBUTES, ENDS, RELATIONS, EXTREMES)
DIRECTIONS: dict[str, tuple[Step, Family]] = {
    word: (step, family) for family in _FAMILIES for step, word in family.items()
}
# Where a quarter turn leads out of a family with two words.
QUARTER_TURN_FAMILY = {'uppermost': MOST, 'lowermost': MOST}

HANDED = {'clockwise': 'counterclockwise', 'counterclockwise': 'clockwise'}
HOURS = tuple('one two three four five six seven eight nine ten eleven twelve'.split())
OCLOCK = ("o'clock", 'o’clock', 'oclock')

MIRRORS = frozenset(('horizontal', 'vertical'))
QUARTER_TURNS = frozenset(('rotate90', 'rotate270'))
_VERTICAL_MOVES = QUARTER_TURNS | {'vertical', 'rotate180'}

# Words that tell a direction which isn't mapped, with the transforms that
# would change what they mean.
UNMAPPED: dict[str, Words] = {
    **dict.fromkeys(_words('up_down'), _VERTICAL_MOVES),
    **dict.fromkeys(_words('lines'), QUARTER_TURNS),
    **dict.fromkeys(_words('handed'), MIRRORS),
    **dict.fromkeys(_words('sideways'), _VERTICAL_MOVES | MIRRORS),
}
# They count from a side, which only "from ..." names.
ORDINAL = re.compile(
    r'\d+(st|nd|rd|th)|first|second|third|fourth|fifth|sixth|'
    r'seventh|eighth|ninth|tenth|last|penultimate'
)

SUSPECT = re.compile(
    'left|right|top|bottom|upper|lower|north|south|east|west|above|below|clockwise'
)
HARMLESS = re.compile(
    r'bright\w*|wright|fright\w*|(copy|birth)rights?|leftovers?|cleft|'
    r'stop(s|ped|ping)?|(roof|hill|mountain|tree|table|desk|lap|black|hard)'
    r'top(s|ped)?|topped|topograph\w*|topsoil|topics?|flower\w*|slower|'
    r'blowers?|followers?|least|(f|b)easts?|yeast|breast'
)

# Words without a direction of their own --------------------------------------

IMAGE = _words('image')
PARTS = _words('parts')
EXTREME_PLACES = _joined(MOST, EXTREMES, *COMPASS_FAMILIES[2:4])
PLACES = _joined(SIDES, ENDS, ATTRIBUTES, *COMPASS_FAMILIES[:2]) | _words('spots')
RELATED = _words('placed', 'compared')
PREPOSITIONS = _words('placed', 'prepositions')
DETERMINERS = _words('determiners')
BOUNDARIES = frozenset('.,;:!?()"') | _words('boundaries')
FUNCTION_WORDS = PREPOSITIONS | _words('connectives')
DEGREE = _words('degree')
LARGEST = _words('largest')
PROPERTIES = _words('colors', 'largest', 'sizes', 'states')

BEFORE_NOUN = _words('degree', 'before_noun')
# Between "the" and "left of" they have no place before "above".
RELATION_ADJECTIVES = BEFORE_NOUN - {'and', 'or'} | _words('relation_adjectives')
FACING = _words('facing')
TURNS = _words('turns')
SIDE_IDIOM_AFTER = _words('turns', 'side_idiom_after')
SIDE_IDIOM_BEFORE = _words('turns', 'side_idiom_before')
HORIZONTAL_ONLY_AFTER = _words('horizontal_only_after')
UP_IDIOM_AFTER = _words('up_idiom_after')
ABOVE_IDIOM_BEFORE = _words('above_idiom_before')
SOLID = _words('solid')
GROUPS = frozenset(HOURS[1:]) | _words('groups')
POINTING = FUNCTION_WORDS.union(
    RELATED, PLACES, DIRECTIONS, UNMAPPED, _words('pointing')
)
VOWEL_SOUND = re.compile(r'(?!one\b)[aeiou]|(8|11|18)$')
