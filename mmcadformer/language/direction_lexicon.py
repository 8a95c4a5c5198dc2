# SPDX-License-Identifier: Apache-2.0
"""Words that tell a direction, and words that only look like it.

A direction is a step ``(dx, dy)`` with x to the right and y down. A *family*
maps directions to words of one kind ("upper", "lower"), so that mirroring an
image means to exchange words within their family.
"""

import re

LEFT, RIGHT, UP, DOWN = (-1, 0), (1, 0), (0, -1), (0, 1)

SIDES = {LEFT: 'left', RIGHT: 'right'}
ATTRIBUTES = {UP: 'upper', DOWN: 'lower'}
ENDS = {UP: 'top', DOWN: 'bottom'}
RELATIONS = {UP: 'above', DOWN: 'below'}
EXTREMES = {UP: 'uppermost', DOWN: 'lowermost'}
_MOST = {LEFT: 'leftmost', RIGHT: 'rightmost', UP: 'topmost', DOWN: 'bottommost'}
_WARD = {LEFT: 'leftward', RIGHT: 'rightward', UP: 'upward', DOWN: 'downward'}
_WARDS = {step: word + 's' for step, word in _WARD.items()}
_COMPASS = {UP: 'north', DOWN: 'south', LEFT: 'west', RIGHT: 'east'}


def _compass_family(ending):
    family = {step: word + ending for step, word in _COMPASS.items()}
    for dy in (UP, DOWN):
        for dx in (LEFT, RIGHT):
            family[dx[0], dy[1]] = _COMPASS[dy] + _COMPASS[dx] + ending
    return family


COMPASS_FAMILIES = tuple(
    _compass_family(ending)
    for ending in ('', 'ern', 'ernmost', 'erly', 'most', 'ward', 'wards', 'bound')
)
# Families with a word for every direction: a quarter turn stays inside them.
_COMPLETE_FAMILIES = (_MOST, _WARD, _WARDS, *COMPASS_FAMILIES)

LEXICON = {
    word: (step, family)
    for family in (*_COMPLETE_FAMILIES, SIDES, ATTRIBUTES, ENDS, RELATIONS, EXTREMES)
    for step, word in family.items()
}
# Where a quarter turn leads out of a family with two words.
QUARTER_TURN_FAMILY = {'uppermost': _MOST, 'lowermost': _MOST}

HANDED = {'clockwise': 'counterclockwise', 'counterclockwise': 'clockwise'}
HOURS = tuple('one two three four five six seven eight nine ten eleven twelve'.split())
OCLOCK = frozenset({"o'clock", 'o’clock', 'oclock'})

MIRRORS = frozenset({'horizontal', 'vertical'})
QUARTER_TURNS = frozenset({'rotate90', 'rotate270'})
_VERTICAL_MOVES = QUARTER_TURNS | {'vertical', 'rotate180'}
_ALL = _VERTICAL_MOVES | MIRRORS

# Words that tell a direction which isn't mapped, with the transforms that
# would change what they mean.
UNMAPPED = {
    **dict.fromkeys(
        'up down over under beneath underneath higher highest lowest behind '
        'front back rear ahead upside upright underside beyond'.split(),
        _VERTICAL_MOVES,
    ),
    **dict.fromkeys(
        'horizontal horizontally vertical vertically row rows column columns'.split(),
        QUARTER_TURNS,
    ),
    **dict.fromkeys('anticlockwise anti counter slash backslash'.split(), MIRRORS),
    **dict.fromkeys('starboard sideways lefthand righthand'.split(), _ALL),
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


def _words(text):
    return frozenset(text.split())


# After these, "left" and "top" are nouns ("on the left", "at the far right").
BEFORE_NOUN = _words(
    'the at on to in from toward towards near far very extreme upper lower top '
    'bottom left right middle center centre central mid and or'
)
# Between "the" and "left of" they have no place before "above".
RELATION_ADJECTIVES = BEFORE_NOUN - {'and', 'or'} | _words(
    'immediate direct exact close slight'
)
DEGREE = _words('far very extreme')
FACING = _words('facing heading pointing faces points heads')
# Words that can't begin the thing that "left" or "top" describes.
FUNCTION_WORDS = _words(
    'of in on at to from with without and or but is are was were that which '
    'who where near next beside besides by between behind under over above '
    'below beneath across along against around through inside outside opposite '
    'adjacent close while when as than has have having beyond within facing '
    'towards toward for just it there here now'
)
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
IMAGE = _words('image picture photo photograph scene frame view map screen tile')
VOWEL_SOUND = re.compile(r'(?!one\b)[aeiou]|(8|11|18)$')
