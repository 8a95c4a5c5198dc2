# SPDX-License-Identifier: Apache-2.0
"""The words of referring expressions, by what they tell.

A direction is a step ``(dx, dy)`` with x to the right and y down. A *family*
maps directions to words of one kind ("upper", "lower"), so that mirroring an
image means exchanging words within their family.
"""

from __future__ import annotations

import re

Step = tuple[int, int]
Family = dict[Step, str]
Words = frozenset[str]


def _words(text: str) -> Words:
    return frozenset(text.split())


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
OCLOCK = _words("o'clock o’clock oclock")

MIRRORS = _words('horizontal vertical')
QUARTER_TURNS = _words('rotate90 rotate270')
_VERTICAL_MOVES = QUARTER_TURNS | {'vertical', 'rotate180'}

# Words that tell a direction which isn't mapped, with the transforms that
# would change what they mean.
UNMAPPED = {
    word: moves
    for moves, words in (
        (
            _VERTICAL_MOVES,
            'up down over under beneath underneath higher highest lowest behind front '
            'back rear ahead upside upright underside beyond',
        ),
        (
            QUARTER_TURNS,
            'horizontal horizontally vertical vertically row rows column columns',
        ),
        (MIRRORS, 'anticlockwise anti counter slash backslash'),
        (_VERTICAL_MOVES | MIRRORS, 'starboard sideways lefthand righthand'),
    )
    for word in words.split()
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

# Places in the image --------------------------------------------------------

IMAGE = _words('image picture photo photograph scene frame view map screen tile')
PARTS = _words(
    'side sides part parts area corner corners edge edges border borders margin end '
    'half quarter region portion section hand boundary most'
)
EXTREME_PLACES = _joined(MOST, EXTREMES, *COMPASS_FAMILIES[2:4])
PLACES = _joined(SIDES, ENDS, ATTRIBUTES, *COMPASS_FAMILIES[:2]) | _words(
    'corner middle center centre central centered'
)

# Relations and the words between --------------------------------------------

_PLACED = _words(
    'above across adjacent against along alongside among around behind below beneath '
    'beside besides between beyond close inside near nearby nearest next opposite '
    'outside over past under underneath within'
)
RELATED = _PLACED | _words(
    'closer closest farthest furthest farther further surrounding surrounded amid'
)
PREPOSITIONS = _PLACED | _words(
    'at before by down facing from in into off on onto through to toward towards up '
    'upon'
)
"""Words that open a phrase about where something is."""

DETERMINERS = _words(
    'a an another each his its one other that the their these this those'
)
BOUNDARIES = frozenset('.,;:!?()"') | _words(
    'and are as be been but for had has have having be is it like located of or '
    'parked placed situated than that there was were where which while who whose with'
)
"""Words that end a phrase without opening one about a position."""

FUNCTION_WORDS = PREPOSITIONS | _words(
    'of with without and or but is are was were that which who where when while as '
    'than has have having for just it there here now'
)
"""Words that can't begin the thing that "left" or "top" describes."""

DEGREE = _words('far very extreme')

# Properties -----------------------------------------------------------------

COLORS = _words(
    'white black gray grey red green blue yellow orange brown purple pink cyan beige '
    'tan silver golden dark light bright pale colored coloured colorful colourful'
)
LARGEST = _words('largest biggest longest widest tallest broadest')
SIZES = LARGEST | _words(
    'large larger big bigger small smaller smallest tiny huge giant medium long longer '
    'short shorter shortest tall taller wide wider narrow narrower narrowest thin '
    'thick sized'
)
STATES = _words(
    'round circular square rectangular triangular oval elliptical curved straight '
    'shaped striped wooden metal concrete grassy sandy muddy clean dirty empty full '
    'bare old new broken damaged abandoned parked moored moving'
)

# "left", "top", ... that tell no direction ----------------------------------

# After these, "left" and "top" are nouns ("on the left", "at the far right").
BEFORE_NOUN = DEGREE | _words(
    'the at on to in from toward towards near upper lower top bottom left right '
    'middle center centre central mid and or'
)
# Between "the" and "left of" they have no place before "above".
RELATION_ADJECTIVES = BEFORE_NOUN - {'and', 'or'} | _words(
    'immediate direct exact close slight'
)
FACING = _words('facing heading pointing faces points heads')
TURNS = _words('turn turns turning turned')
# "a left turn", "left the port", "right angle", ...
SIDE_IDIOM_AFTER = TURNS | _words(
    'angle angles angled triangle triangles triangular over behind alone blank '
    'open empty the a an its their this these up down now away way kind type '
    'size'
)
SIDE_IDIOM_BEFORE = TURNS | _words(
    'has have had been being be is are was were that which who one ones only all'
)
# "left-hand" has no vertical counterpart.
HORIZONTAL_ONLY_AFTER = _words('hand handed facing sided leaning')
# "top view", "bottom floor", "above ground": up in the world, not the image.
UP_IDIOM_AFTER = _words(
    'view views down floor floors deck layer surface speed ground average sea '
    'water zero mentioned all than'
)
ABOVE_IDIOM_BEFORE = _words('from the seen viewed')
# "the top of the hill" is a place that mirroring doesn't move.
SOLID = _words(
    'hill hills mountain mountains roof building buildings tower towers stairs '
    'slope cliff tree trees house tank page'
)
# "the right of the two" is one of them, and not a place beside them.
GROUPS = frozenset(HOURS[1:]) | _words(
    'both all several many few them pair pairs couple trio group groups set cluster'
)
VOWEL_SOUND = re.compile(r'(?!one\b)[aeiou]|(8|11|18)$')
