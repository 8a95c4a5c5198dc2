# SPDX-License-Identifier: Apache-2.0
"""Rewrite direction words when an image is mirrored or turned.

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

import re

from . import direction_lexicon as lex

# How a step (dx, dy) looks afterwards. Turns are counter-clockwise, as
# np.rot90 turns arrays.
_MOVES = {
    'horizontal': lambda dx, dy: (-dx, dy),
    'vertical': lambda dx, dy: (dx, -dy),
    'rotate90': lambda dx, dy: (dy, -dx),
    'rotate180': lambda dx, dy: (-dx, -dy),
    'rotate270': lambda dx, dy: (-dy, dx),
}
TRANSFORMS = tuple(_MOVES)
# Hour of the clock face afterwards, from hours counted 0 to 11.
_CLOCK = {
    'horizontal': lambda hour: -hour,
    'vertical': lambda hour: 6 - hour,
    'rotate90': lambda hour: hour - 3,
    'rotate180': lambda hour: hour + 6,
    'rotate270': lambda hour: hour + 3,
}
_PIECES = re.compile(
    r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+(?:st|nd|rd|th)?\b|"
    r'[\W_]+|\d+'
)


class _Unsafe(Exception):
    """The expression can't be rewritten safely."""


def rewrite_directions(expression, transform):
    """Expression that names the same object after the image is transformed.

    Args:
        expression (str): A referring expression in English.
        transform (str): ``'horizontal'`` (left and right change places),
            ``'vertical'`` (top and bottom change places), or ``'rotate90'``,
            ``'rotate180'``, ``'rotate270'`` (turn counter-clockwise by so many
            degrees).

    Returns:
        str | None: The expression with its direction words changed and their
        capitals kept; the very expression if it tells no direction; None if it
        tells one that can't be mapped safely ("left turn", "the second tank",
        "right next to").

    Raises:
        ValueError: The transform is unknown.
    """
    if transform not in _MOVES:
        raise ValueError(
            f'unknown transform {transform!r}, expected one of {", ".join(TRANSFORMS)}'
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

    def __init__(self, expression, transform):
        self.transform = transform
        self.move = _MOVES[transform]
        self.quarter = transform in lex.QUARTER_TURNS
        self.pieces = _PIECES.findall(expression)
        self.out = list(self.pieces)
        self.at = [i for i, piece in enumerate(self.pieces) if piece[0].isalnum()]
        self.words = [self.pieces[i].lower() for i in self.at]

    def run(self):
        """Rewritten expression; raises ``_Unsafe``."""
        for i, word in enumerate(self.words):
            self._refuse_unmapped(i, word)
        i = 0
        while i < len(self.words):
            if self._diagonal(i):
                i += 2
                continue
            self._word(i)
            i += 1
        self._fit_articles()
        return ''.join(self.out)

    def word(self, i):
        """Word i in lower case, '' outside of the expression."""
        return self.words[i] if 0 <= i < len(self.words) else ''

    def next(self, i):
        """Word after i, '' where punctuation or the end comes first."""
        return self.word(i + 1) if self._joined(i) else ''

    def previous(self, i):
        """Word before i, '' where punctuation or the start comes first."""
        return self.word(i - 1) if self._joined(i - 1) else ''

    def _joined(self, i):
        """Whether only blanks or a hyphen are between words i and i + 1."""
        if not 0 <= i < len(self.words) - 1:
            return False
        between = ''.join(self.pieces[self.at[i] + 1 : self.at[i + 1]])
        return not between.strip(' \t\n-')

    def _refuse_unmapped(self, i, word):
        if self.transform in lex.UNMAPPED.get(word, ()):
            raise _Unsafe
        if lex.ORDINAL.fullmatch(word) and not self._ordinal_is_clear(i):
            raise _Unsafe
        if (
            self.transform in lex.MIRRORS
            and word in ('left', 'right')
            and {self.previous(i), self.next(i)} & lex.TURNS
        ):
            raise _Unsafe  # mirrored, a left turn is a right turn
        known = word in lex.LEXICON or word in lex.HANDED or word in lex.UNMAPPED
        if not known and lex.SUSPECT.search(word) and not lex.HARMLESS.fullmatch(word):
            raise _Unsafe

    def _ordinal_is_clear(self, i):
        """Whether it says from where it counts, or ranks by size."""
        following = self.next(i)
        return (
            following.endswith('est')
            or following == 'most'
            or 'from' in self.words[i + 1 :]
        )

    # Words one by one ------------------------------------------------------

    def _word(self, i):
        word = self.words[i]
        if word in lex.OCLOCK:
            self._hour(i)
        elif word in lex.HANDED:
            if self.transform in lex.MIRRORS:
                self._replace(i, i, lex.HANDED[word])
        elif word in lex.LEXICON:
            step, family = lex.LEXICON[word]
            moved = self.move(*step)
            if moved != step:
                self._check(i, family)
                self._direct(i, family, moved)

    def _direct(self, i, family, moved):
        """Replace a direction word whose direction changes."""
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

    def _hour(self, i):
        hour = self.previous(i)
        if hour in lex.HOURS:
            number = lex.HOURS.index(hour) + 1
        elif hour.isdecimal() and 1 <= int(hour) <= 12:
            number = int(hour)
        else:
            raise _Unsafe
        number = _CLOCK[self.transform](number) % 12 or 12
        text = lex.HOURS[number - 1] if hour in lex.HOURS else str(number)
        self._replace(i - 1, i - 1, text)

    # Is it a direction at all? ---------------------------------------------

    def _check(self, i, family):
        if family is lex.SIDES:
            self._check_side(i)
        elif family in (lex.ATTRIBUTES, lex.ENDS):
            self._check_end(i, family)
        elif family is lex.RELATIONS:
            self._check_relation(i)
        elif family in lex.COMPASS_FAMILIES:
            self._check_compass(i)

    def _check_side(self, i):
        """Refuse "left" and "right" where they may be no direction."""
        before, after = self.previous(i), self.next(i)
        if after == 'of':
            if self.next(i + 1) == 'way':
                raise _Unsafe
            return
        if after in lex.SIDE_IDIOM_AFTER or before in lex.SIDE_IDIOM_BEFORE:
            raise _Unsafe
        if after == '' or after in lex.FUNCTION_WORDS:
            # "right in the middle", "the only tank left" are no places
            adverb = self.words[i] == 'right' and after not in ('', 'and', 'or')
            if adverb and before in ('', 'and', 'or'):
                raise _Unsafe
            if before and before not in lex.BEFORE_NOUN | lex.FACING:
                raise _Unsafe

    def _check_end(self, i, family):
        """Refuse "top", "lower", ... that may mean up in the world."""
        before, after = self.previous(i), self.next(i)
        if after in lex.UP_IDIOM_AFTER or after.isdecimal():
            raise _Unsafe
        if after and after not in lex.FUNCTION_WORDS:
            return
        if family is lex.ATTRIBUTES and after not in ('of', 'and', 'or'):
            raise _Unsafe
        if before == 'on' or (before and before not in lex.BEFORE_NOUN):
            raise _Unsafe
        if after == 'of' and self._thing_after(i + 1) in lex.SOLID:
            raise _Unsafe

    def _check_relation(self, i):
        after = self.next(i)
        if after in lex.UP_IDIOM_AFTER or after.isdecimal():
            raise _Unsafe
        if self.previous(i) in lex.ABOVE_IDIOM_BEFORE:
            raise _Unsafe
        if after and self._separator(i) == '-':
            raise _Unsafe

    def _check_compass(self, i):
        """Refuse what looks like a name ("in West Bank")."""
        text, after = self.pieces[self.at[i]], self.next(i)
        if i and text.istitle() and after and self.pieces[self.at[i + 1]].istitle():
            raise _Unsafe

    def _separator(self, i):
        return ''.join(self.pieces[self.at[i] + 1 : self.at[i + 1]])

    def _thing_after(self, i):
        """Noun (roughly) after "of" at i."""
        i += 1
        while self.word(i) in ('the', 'this', 'whole', 'entire', 'a', 'an'):
            i += 1
        return self.word(i)

    # Two words for a diagonal ----------------------------------------------

    def _diagonal(self, i):
        """Rewrite "upper left" or "north-east" at i; False if there is none.

        The word for the vertical stays in its place, which matters for
        quarter turns only.
        """
        if not self.quarter or not self._joined(i):
            return False
        pair = self.words[i], self.words[i + 1]
        if pair[0] not in lex.LEXICON or pair[1] not in lex.LEXICON:
            return False
        steps = [lex.LEXICON[word][0] for word in pair]
        families = [lex.LEXICON[word][1] for word in pair]
        if not _crossed(*steps) or not _same_style(*families):
            return False
        for j, family in zip((i, i + 1), families, strict=True):
            if family is lex.SIDES or family in lex.COMPASS_FAMILIES:
                self._check(j, family)
        moved = self.move(steps[0][0] + steps[1][0], steps[0][1] + steps[1][1])
        for j, step, family in zip((i, i + 1), steps, families, strict=True):
            self._replace(j, j, family[_along(step, moved)])
        return True

    # Quarter turns ----------------------------------------------------------

    def _side_to_vertical(self, i, moved):
        """Turn "left" and "right" as noun, relation or attribute."""
        before, after = self.previous(i), self.next(i)
        if after in lex.HORIZONTAL_ONLY_AFTER or before in lex.FACING:
            raise _Unsafe
        if after == 'of' and self._thing_after(i + 1) not in lex.IMAGE:
            self._replace(self._relation_start(i), i + 1, lex.RELATIONS[moved])
            return
        if after == '' or after in lex.FUNCTION_WORDS:
            self._swap_preposition(i, 'on', 'at')
        self._replace(i, i, lex.ENDS[moved])

    def _relation_start(self, i):
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

    def _relation_to_side(self, i, moved):
        """Turn "above the road" to "to the left of the road"."""
        after = self.next(i)
        shared = after == 'and' and self._relation_follows(i + 2)
        if not shared and (after == '' or after in lex.FUNCTION_WORDS):
            raise _Unsafe
        self._replace(i, i, f'to the {lex.SIDES[moved]} of')

    def _relation_follows(self, i):
        """Whether "(to the) left of" or "above" stands at i."""
        while self.word(i) in ('to', 'the'):
            i += 1
        return (
            self.word(i) in ('left', 'right') and self.word(i + 1) == 'of'
        ) or self.word(i) in ('above', 'below')

    def _end_to_side(self, i, moved):
        """Turn "top", "upper", ... as noun or attribute."""
        after = self.next(i)
        if after == 'of' and self._thing_after(i + 1) not in lex.IMAGE:
            raise _Unsafe
        if after == '' or after in lex.FUNCTION_WORDS:
            self._swap_preposition(i, 'at', 'on')
        self._replace(i, i, lex.SIDES[moved])

    def _swap_preposition(self, i, old, new):
        """Say "on the (far) left" but "at the (far) top"."""
        j = i
        while self.previous(j) in lex.DEGREE:
            j -= 1
        if self.previous(j) == 'the':
            j -= 1
        if self.previous(j) == old:
            self._replace(j - 1, j - 1, new)

    # Output -----------------------------------------------------------------

    def _replace(self, first, last, text):
        """Write text over the words first..last, with the capitals of first."""
        start, end = self.at[first], self.at[last]
        old = ''.join(self.pieces[start : end + 1])
        if len(old) > 1 and old.isupper():
            text = text.upper()
        elif old[0].isupper():
            text = text[0].upper() + text[1:]
        self.out[start : end + 1] = [text] + [''] * (end - start)

    def _fit_articles(self):
        """Say "an upper" but "a lower"."""
        for i in range(len(self.words) - 1):
            here, there = self.at[i], self.at[i + 1]
            new = self.out[there]
            if self.words[i] not in ('a', 'an') or new == self.pieces[there]:
                continue
            article = 'an' if lex.VOWEL_SOUND.match(new.lower()) else 'a'
            if len(new) > 1 and new.isupper():
                article = article.upper()
            elif self.pieces[here][0].isupper():
                article = article.capitalize()
            self.out[here] = article


def _crossed(first, second):
    """Whether one step is along x and the other along y."""
    return all(abs(a) + abs(b) == 1 for a, b in zip(first, second, strict=True))


def _same_style(first, second):
    """Whether two families combine to a diagonal ("upper left")."""
    compass = first in lex.COMPASS_FAMILIES, second in lex.COMPASS_FAMILIES
    if all(compass):
        return True
    return (
        not any(compass)
        and {id(first), id(second)} & {id(lex.SIDES)} != set()
        and any(family in (lex.ATTRIBUTES, lex.ENDS) for family in (first, second))
    )


def _along(step, diagonal):
    """Part of a diagonal step on the axis of another step."""
    return (diagonal[0], 0) if step[0] else (0, diagonal[1])
