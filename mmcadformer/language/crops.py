# SPDX-License-Identifier: Apache-2.0
"""Which expressions stay true when a picture is cropped."""

from __future__ import annotations

import re

from . import lexicon as lex

_SIDES = '|'.join((*lex.SIDES.values(), *lex.ENDS.values()))
_IMAGE = '|'.join(sorted(lex.IMAGE))
# "the leftmost tank", "the tank closest to the top edge", "the tank on the far right"
_FARTHEST = re.compile(
    rf'\b(?:{"|".join(sorted(lex.EXTREME_PLACES))}|lowest|highest)\b'
    r'|\b(?:(?:closest|nearest) (?:to )?|f[au]rthest (?:to |towards? )?'
    rf'|(?:on|at|to) the far |at the (?:very |extreme )?)(?:the )?(?:{_SIDES})'
    r'(?: edge| border| side| margin)?$'
)
# "in the picture" is true of any crop.
_WHERE = re.compile(rf' (?:in|of|within) (?:the|this) (?:{_IMAGE})$')


def survives_cropping(expression: str) -> bool:
    """Whether an expression stays true in every crop that shows the whole object.

    A crop takes other objects away and cuts some, but adds none: what was the
    largest or the leftmost stays so. "The tank on the left" may lie on the right of a
    crop, the smallest may be larger than what is left of another one (but the largest
    stays the largest), and the road that the tank is beside may be gone.
    False in doubt.
    """
    # What is left may be articles, adjectives and nouns.
    rest = _FARTHEST.sub('', _WHERE.sub('', expression.lower().strip(' .')))
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", rest)
    return not any(
        word in lex.POINTING
        or lex.ORDINAL.fullmatch(word)
        or (word.endswith('est') and word not in lex.LARGEST)
        for word in words
    )
