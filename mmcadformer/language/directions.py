# SPDX-License-Identifier: Apache-2.0
"""Rewrites direction words when an image is mirrored or turned.

"The tank to the left of the road" is to its right in the mirrored image. The
functions here change the words with the pixels, and give up (``None``) where
they can't be sure: a wrong expression teaches the model the opposite.

Mirror images and half turns keep every word's kind ("upper" becomes "lower"),
so words are exchanged one by one. A quarter turn changes the kind: "on the
left" becomes "at the bottom", "to the left of" becomes "below", "leftmost"
becomes "bottommost". There the words around decide, and several vertical words
share one horizontal word, so that four quarter turns give back the expression
up to a synonym ("the upper tank" comes back as "the top tank").
"""

from __future__ import annotations

import math
import re
from itertools import takewhile

from . import lexicon as lex
from .lexicon import Family, Step
from .phrases import plurals

# How a step (dx, dy) looks afterwards. Turns are counter-clockwise, as
# np.rot90 turns arrays.
_MOVES = {
    'horizontal': lambda dx, dy: (-dx, dy),
    'vertical': lambda dx, dy: (dx, -dy),
    'rotate90': lambda dx, dy: (dy, -dx),
    'rotate180': lambda dx, dy: (-dx, -dy),
    'rotate270': lambda dx, dy: (-dy, dx),
}
_PIECES = re.compile(
    r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:st|nd|rd|th)?\b|"
    r'[\W_]+|\d+'
)


class _Unsafe(Exception):
    """The expression can't be rewritten safely."""


def rewrite_directions(expression: str, transform: str) -> str | None:
    """Expression that names the same object after the image is transformed.

    Args:
        expression: A referring expression in English.
        transform: ``'horizontal'`` (left and right change places), ``'vertical'``
            (top and bottom do), or ``'rotate90'``, ``'rotate180'``, ``'rotate270'``
            (turn counter-clockwise by so many degrees).

    Returns:
        The expression with its direction words changed and their capitals kept;
        the very expression if it tells no direction; None if it tells one that
        can't be mapped safely ("left turn", "the second tank", "right next to").
    """
    if transform not in _MOVES:
        raise ValueError(
            f'unknown transform {transform!r}, expected one of {", ".join(_MOVES)}'
        )
    try:
        return _Rewriter(expression, transform).run()
    except _Unsafe:
        return None


class _Rewriter:
    """One expression under one transform.

    ``pieces`` are words and what separates them, ``out`` is what they become,
    ``at`` lists the places of words in both, ``words`` the words in lower case.
    """

    def __init__(self, expression: str, transform: str) -> None:
        self.transform = transform
        self.move = _MOVES[transform]
        self.quarter = transform in lex.QUARTER_TURNS
        self.pieces: list[str] = _PIECES.findall(expression)
        self.out = list(self.pieces)
        self.at = [i for i, piece in enumerate(self.pieces) if piece[0].isalnum()]
        self.words = [self.pieces[i].lower() for i in self.at]

    def run(self) -> str:
        """Rewritten expression; raises ``_Unsafe``."""
        for i, word in enumerate(self.words):
            self._refuse_unmapped(i, word)
        i = 0
        while i < len(self.words):
            if self._diagonal(i):
                i += 2
                continue
            self._rewrite(i)
            i += 1
        self._fit_articles()
        return ''.join(self.out)

    def word(self, i: int) -> str:
        """Word i in lower case, '' outside of the expression."""
        return self.words[i] if 0 <= i < len(self.words) else ''

    def next(self, i: int) -> str:
        """Word after i, '' where punctuation or the end comes first."""
        return self.word(i + 1) if self._joined(i) else ''

    def previous(self, i: int) -> str:
        """Word before i, '' where punctuation or the start comes first."""
        return self.word(i - 1) if self._joined(i - 1) else ''

    def _separator(self, i: int) -> str:
        return ''.join(self.pieces[self.at[i] + 1 : self.at[i + 1]])

    def _joined(self, i: int) -> bool:
        """Whether only blanks or a hyphen are between words i and i + 1."""
        inside = 0 <= i < len(self.words) - 1
        return inside and not self._separator(i).strip(' \t\n-')

    def _is_noun(self, i: int) -> bool:
        """Whether "left" or "top" at i describes no word after it."""
        return self.next(i) == '' or self.next(i) in lex.FUNCTION_WORDS

    def _refuse_unmapped(self, i: int, word: str) -> None:
        if self.transform in lex.UNMAPPED.get(word, ()):
            raise _Unsafe
        if lex.ORDINAL.fullmatch(word) and not self._ordinal_is_clear(i):
            raise _Unsafe
        around = {self.previous(i), self.next(i)}
        turn = word in ('left', 'right') and around & lex.TURNS
        if turn and self.transform in lex.MIRRORS:
            raise _Unsafe  # mirrored, a left turn is a right turn
        known = word in lex.DIRECTIONS or word in lex.HANDED or word in lex.UNMAPPED
        if not known and lex.SUSPECT.search(word) and not lex.HARMLESS.fullmatch(word):
            raise _Unsafe

    def _ordinal_is_clear(self, i: int) -> bool:
        """Whether it says from where it counts, or ranks by size."""
        ranked = self.next(i).endswith('est') or self.next(i) == 'most'
        return ranked or 'from' in self.words[i + 1 :]

    # Words one by one ------------------------------------------------------

    def _rewrite(self, i: int) -> None:
        word = self.words[i]
        if word in lex.OCLOCK:
            self._turn_hour(i)
        elif word in lex.HANDED:
            if self.transform in lex.MIRRORS:
                self._replace(i, i, lex.HANDED[word])
        elif word in lex.DIRECTIONS:
            step, family = lex.DIRECTIONS[word]
            moved = self.move(*step)
            if moved != step:
                self._check(i, family)
                self._redirect(i, family, moved)

    def _redirect(self, i: int, family: Family, moved: Step) -> None:
        """Replaces a direction word whose direction changes."""
        if self.quarter:
            family = lex.QUARTER_TURN_FAMILY.get(self.words[i], family)
        if moved in family:
            self._replace(i, i, family[moved])
        elif family is lex.SIDES:
            self._side_to_vertical(i, moved)
        elif family is lex.RELATIONS:
            self._relation_to_side(i, moved)
        else:
            self._end_to_side(i, moved)

    def _turn_hour(self, i: int) -> None:
        hour = self.previous(i)
        if hour in lex.HOURS:
            number = lex.HOURS.index(hour) + 1
        elif hour.isdecimal() and 1 <= int(hour) <= 12:
            number = int(hour)
        else:
            raise _Unsafe
        angle = math.radians(30 * number)
        dx, dy = self.move(math.sin(angle), -math.cos(angle))
        number = round(math.degrees(math.atan2(dx, -dy)) / 30) % 12 or 12
        text = lex.HOURS[number - 1] if hour in lex.HOURS else str(number)
        self._replace(i - 1, i - 1, text)

    # Is it a direction at all? ---------------------------------------------

    def _check(self, i: int, family: Family) -> None:
        """Refuses words that may tell no direction of the image."""
        if family is lex.SIDES:
            self._check_side(i)
        elif family in lex.COMPASS_FAMILIES:
            self._check_compass(i)
        elif family in (lex.ATTRIBUTES, lex.ENDS, lex.RELATIONS):
            self._check_vertical(i, family)

    def _check_side(self, i: int) -> None:
        """Refuses "left" and "right" where they may tell no direction."""
        before, after = self.previous(i), self.next(i)
        if after == 'of':
            if self.next(i + 1) == 'way':
                raise _Unsafe
            return
        if after in lex.SIDE_IDIOM_AFTER or before in lex.SIDE_IDIOM_BEFORE:
            raise _Unsafe
        if self._is_noun(i):
            # "right in the middle", "the only tank left" are not places
            adverb = self.words[i] == 'right' and after not in ('', 'and', 'or')
            if adverb and before in ('', 'and', 'or'):
                raise _Unsafe
            if before and before not in lex.BEFORE_NOUN | lex.FACING:
                raise _Unsafe

    def _check_vertical(self, i: int, family: Family) -> None:
        """Refuses "top", "lower", "above", ... that may mean up in the world."""
        before, after = self.previous(i), self.next(i)
        if after in lex.UP_IDIOM_AFTER or after.isdecimal():
            raise _Unsafe
        if family is lex.RELATIONS:
            if before in lex.ABOVE_IDIOM_BEFORE or (
                after and self._separator(i) == '-'
            ):
                raise _Unsafe
            return
        if not self._is_noun(i):
            return
        if family is lex.ATTRIBUTES and after not in ('of', 'and', 'or'):
            raise _Unsafe
        if before == 'on' or (before and before not in lex.BEFORE_NOUN):
            raise _Unsafe
        if after == 'of' and self._thing_after(i + 1) in lex.SOLID:
            raise _Unsafe

    def _check_compass(self, i: int) -> None:
        """Refuses what looks like a name ("in West Bank")."""
        text, after = self.pieces[self.at[i]], self.next(i)
        if i and text.istitle() and after and self.pieces[self.at[i + 1]].istitle():
            raise _Unsafe

    def _thing_after(self, i: int) -> str:
        """Noun (roughly) after "of" at i."""
        i += 1
        while self.word(i) in lex.DETERMINERS | {'whole', 'entire'}:
            i += 1
        return self.word(i)

    # Two words for a diagonal ----------------------------------------------

    def _diagonal(self, i: int) -> bool:
        """Rewrites "upper left" or "north-east" at i; False if there is none.

        The word for the vertical stays in its place, which matters for
        quarter turns only.
        """
        pair = self.word(i), self.next(i)
        if not self.quarter or not all(word in lex.DIRECTIONS for word in pair):
            return False
        (first, one), (second, other) = (lex.DIRECTIONS[word] for word in pair)
        crossed = bool(first[0]) != bool(second[0]) and bool(first[1]) != bool(
            second[1]
        )
        if not crossed or not _combine(one, other):
            return False
        moved = self.move(first[0] + second[0], first[1] + second[1])
        for j, step, family in ((i, first, one), (i + 1, second, other)):
            if family is lex.SIDES or family in lex.COMPASS_FAMILIES:
                self._check(j, family)
            along = (moved[0], 0) if step[0] else (0, moved[1])
            self._replace(j, j, family[along])
        return True

    # Quarter turns ----------------------------------------------------------

    def _side_to_vertical(self, i: int, moved: Step) -> None:
        """Turns "left" and "right" as noun, relation or attribute."""
        before, after = self.previous(i), self.next(i)
        if after in lex.HORIZONTAL_ONLY_AFTER or before in lex.FACING:
            raise _Unsafe
        if after == 'of' and self._thing_after(i + 1) not in lex.IMAGE:
            if self._may_be_one_of(i):
                raise _Unsafe
            self._replace(self._relation_start(i), i + 1, lex.RELATIONS[moved])
            return
        if self._is_noun(i):
            self._swap_preposition(i, 'on', 'at')
        self._replace(i, i, lex.ENDS[moved])

    def _may_be_one_of(self, i: int) -> bool:
        """Whether what is "right of" at i may be one of those named after it.

        "The court on the right of the two courts" is at their end; after a
        quarter turn it isn't above them.
        """
        thing = self._thing_after(i + 1)
        if not thing or thing in lex.GROUPS or thing.isdecimal():
            return True
        things = set(
            takewhile(lambda w: w not in lex.FUNCTION_WORDS, self.words[i + 2 :])
        )
        return any(things & set(plurals(word)) for word in self.words[:i])

    def _relation_start(self, i: int) -> int:
        """First word of "to the left of", given the place of "left"."""
        if self.previous(i) == 'the':
            if self.previous(i - 1) not in ('to', 'on', 'at'):
                raise _Unsafe
            return i - 2
        if self.previous(i) in ('to', 'on', 'at'):
            return i - 1
        if self.previous(i) in lex.RELATION_ADJECTIVES:
            raise _Unsafe
        return i

    def _relation_to_side(self, i: int, moved: Step) -> None:
        """Turns "above the road" to "to the left of the road"."""
        shared = self.next(i) == 'and' and self._relation_follows(i + 2)
        if not shared and self._is_noun(i):
            raise _Unsafe
        self._replace(i, i, f'to the {lex.SIDES[moved]} of')

    def _relation_follows(self, i: int) -> bool:
        """Whether "(to the) left of" or "above" stands at i."""
        while self.word(i) in ('to', 'the'):
            i += 1
        side = self.word(i) in ('left', 'right') and self.word(i + 1) == 'of'
        return side or self.word(i) in ('above', 'below')

    def _end_to_side(self, i: int, moved: Step) -> None:
        """Turns "top", "upper", ... as noun or attribute."""
        if self.next(i) == 'of' and self._thing_after(i + 1) not in lex.IMAGE:
            raise _Unsafe
        if self._is_noun(i):
            self._swap_preposition(i, 'at', 'on')
        self._replace(i, i, lex.SIDES[moved])

    def _swap_preposition(self, i: int, old: str, new: str) -> None:
        """Says "on the (far) left" but "at the (far) top"."""
        while self.previous(i) in lex.DEGREE:
            i -= 1
        if self.previous(i) == 'the':
            i -= 1
        if self.previous(i) == old:
            self._replace(i - 1, i - 1, new)

    # Output -----------------------------------------------------------------

    def _replace(self, first: int, last: int, text: str) -> None:
        """Writes text over the words first..last, with the capitals of first."""
        start, end = self.at[first], self.at[last]
        text = _capitalized_as(''.join(self.pieces[start : end + 1]), text)
        self.out[start : end + 1] = [text] + [''] * (end - start)

    def _fit_articles(self) -> None:
        """Says "an upper" but "a lower"."""
        for i in range(len(self.words) - 1):
            here, there = self.at[i], self.at[i + 1]
            new = self.out[there]
            if self.words[i] in ('a', 'an') and new != self.pieces[there]:
                article = 'an' if lex.VOWEL_SOUND.match(new.lower()) else 'a'
                shouted = len(new) > 1 and new.isupper()
                self.out[here] = _capitalized_as(
                    new if shouted else self.pieces[here], article
                )


def _capitalized_as(old: str, new: str) -> str:
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new


def _combine(*families: Family) -> bool:
    """Whether two families make a diagonal ("upper left", "north east")."""
    if all(family in lex.COMPASS_FAMILIES for family in families):
        return True
    vertical = lex.ATTRIBUTES in families or lex.ENDS in families
    return vertical and lex.SIDES in families
