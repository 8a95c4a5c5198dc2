# SPDX-License-Identifier: Apache-2.0
"""What expressions mean: a small predicate language over a scene.

A program is a list of steps; each keeps some of the objects that the steps
before it left. The first names the category:

=================================  ===========================================
``['category', name]``             objects of this category
``['color', word]``                of this colour
``['position', region]``           in a part of the image (`POSITIONS`)
``['extreme', side]``              the one farthest to a side (`SIDES`)
``['ordinal', n, side]``           the n-th, counted from a side
``['size', 'largest'|'smallest']``  the largest or smallest by area
``['relation', side, program]``    to that side of another object
``['distance', which, program]``   'nearest' to / 'farthest' from another one
=================================  ===========================================

Every predicate has three values: yes, no and *unclear*, for what people might
see either way (an object a little left of the middle is neither clearly on
the left nor clearly not). A program *resolves* if exactly one object is a yes
and no object is unclear.
"""

from dataclasses import dataclass
from functools import partial

SIDES = ('left', 'right', 'top', 'bottom')
POSITIONS = SIDES + ('upper left', 'upper right', 'lower left', 'lower right', 'center')
_SUPERLATIVES = ('extreme', 'size', 'ordinal', 'distance')

HALF_YES, HALF_NO = 0.42, 0.54
"""An object is on the left if its centroid's x is below 0.42 image widths,
not on the left if above 0.54, unclear in between; other sides alike."""
CENTER_YES, CENTER_NO = 0.13, 0.24
"""In the center: x and y within 0.13 of the middle; not: one beyond 0.24."""
EXTREME_GAP, EDGE_GAP = 0.08, 0.02
"""Lead, in image sizes, that the centroid of the leftmost object has on the
next one's, and that its left edge has on all others."""
AREA_RATIO = 1.5
"""How many times the next one's area the largest object has."""
DISTANCE_RATIO, DISTANCE_GAP = 1.35, 0.06
"""The nearest object is this many times, and this much in image sizes,
nearer than the next one."""
RELATION_GAP, RELATION_SLOPE = 0.08, 1.0
"""To the left of an object: its centroid is at least 0.08 image widths
farther left, and farther left than up or down; not to the left: its centroid
is not farther left at all (less than 0.02)."""
RELATION_NO = 0.02


@dataclass(frozen=True)
class ObjectFacts:
    """What programs may ask about an object.

    Attributes:
        category (str): Category name.
        color (str | None): Colour word.
        x (float): Centroid, in image widths.
        y (float): Centroid, in image heights.
        area (float): Area of the mask in any unit.
        box (tuple[float]): Bounding box: left, top, right, bottom in image
            sizes; the centroid by default.
    """

    category: str
    color: str
    x: float
    y: float
    area: float
    box: tuple = None

    def __post_init__(self):
        if self.box is None:
            object.__setattr__(self, 'box', (self.x, self.y, self.x, self.y))


def _toward(fact, side):
    """Coordinate in [0, 1] that grows towards a side."""
    value = fact.x if side in ('left', 'right') else fact.y
    return 1 - value if side in ('left', 'top') else value


def _edge(fact, side):
    """Coordinate in [0, 1] of an object's edge on a side, growing towards it."""
    index = ('left', 'top', 'right', 'bottom').index(side)
    return fact.box[index] if index > 1 else 1 - fact.box[index]


def _beyond(fact, side, limit):
    """Whether an object is less than a distance away from a side."""
    return 1 - _toward(fact, side) < limit


class SceneSemantics:
    """Runs programs on one scene.

    Sets of objects are the bits of an integer. A step turns a pair ``(yes,
    possible)`` of sets into another one, where ``possible`` also holds the
    unclear objects.

    Args:
        facts (list[ObjectFacts]): The scene's objects.
    """

    def __init__(self, facts):
        self.facts = list(facts)
        self.everything = (1 << len(self.facts)) - 1
        self._positions = {p: self._position(p) for p in POSITIONS}
        self._relations = {}
        self._attributes = {}

    def _bits(self, test):
        return sum(1 << i for i, fact in enumerate(self.facts) if test(fact))

    def _indices(self, bits):
        return [i for i in range(len(self.facts)) if bits >> i & 1]

    def _position(self, region):
        if region == 'center':

            def off(f):
                return max(abs(f.x - 0.5), abs(f.y - 0.5))

            return (
                self._bits(lambda f: off(f) <= CENTER_YES),
                self._bits(lambda f: off(f) < CENTER_NO),
            )
        yes = possible = self.everything
        words = region.replace('upper', 'top').replace('lower', 'bottom')
        for side in words.split():
            yes &= self._bits(partial(_beyond, side=side, limit=HALF_YES))
            possible &= self._bits(partial(_beyond, side=side, limit=HALF_NO))
        return yes, possible

    def _relation(self, side, anchor):
        if (side, anchor) not in self._relations:
            yes = possible = 0
            for i, fact in enumerate(self.facts):
                if i == anchor:
                    continue
                ahead = _toward(fact, side) - _toward(self.facts[anchor], side)
                dx = abs(fact.x - self.facts[anchor].x)
                dy = abs(fact.y - self.facts[anchor].y)
                aside = dy if side in ('left', 'right') else dx
                if ahead >= RELATION_GAP and aside <= RELATION_SLOPE * ahead:
                    yes |= 1 << i
                if ahead >= RELATION_NO:
                    possible |= 1 << i
            self._relations[side, anchor] = yes, possible
        return self._relations[side, anchor]

    def _first(self, possible, key, clear):
        """The object with the largest key, if clearly ahead of the next."""
        order = sorted(self._indices(possible), key=key, reverse=True)
        if not order:
            return 0, 0
        if len(order) > 1 and not clear(key(order[0]), key(order[1])):
            return 0, possible
        return 1 << order[0], 1 << order[0]

    def _superlative(self, step, bits):
        facts = self.facts
        if step[0] == 'extreme':
            return self._counted(1, step[1], bits)
        if step[0] == 'size':
            power = 1 if step[1] == 'largest' else -1
            return self._first(
                bits, lambda i: facts[i].area ** power, lambda a, b: a >= AREA_RATIO * b
            )
        if step[0] == 'ordinal':
            return self._counted(step[1], step[2], bits)
        anchor = self.resolve(step[2])
        if anchor is None:
            return 0, bits
        here = facts[anchor]
        sign = -1 if step[1] == 'nearest' else 1

        def far(i):
            return (
                sign * ((facts[i].x - here.x) ** 2 + (facts[i].y - here.y) ** 2) ** 0.5
            )

        def clear(a, b):
            small, big = sorted((abs(a), abs(b)))
            return big >= DISTANCE_RATIO * small and big - small >= DISTANCE_GAP

        return self._first(bits & ~(1 << anchor), far, clear)

    def _counted(self, number, side, bits):
        """The object with a number, counted from a side."""
        order = sorted(self._indices(bits), key=lambda i: -_toward(self.facts[i], side))
        if len(order) < number:
            return 0, bits
        centers = [_toward(self.facts[i], side) for i in order]
        edges = [_edge(self.facts[i], side) for i in order]
        for i in range(min(number, len(order) - 1)):
            doubtful = centers[i] - centers[i + 1] < EXTREME_GAP
            if doubtful or edges[i] - max(edges[i + 1 :]) < EDGE_GAP:
                return 0, bits
        return 1 << order[number - 1], 1 << order[number - 1]

    def run(self, program):
        """Run a program.

        Args:
            program (list): Steps as the module describes them.

        Returns:
            tuple[int, int]: Objects that are meant, and objects that may be
            meant, as bits.
        """
        yes = possible = self.everything
        for step in program:
            if step[0] in _SUPERLATIVES:
                if yes != possible:  # a superlative of an unclear set
                    return 0, possible
                here = self._superlative(step, yes)
            else:
                here = self.select(step)
            yes, possible = yes & here[0], possible & here[1]
        return yes, possible

    def select(self, step):
        """Objects for which a step other than a superlative holds.

        Returns:
            tuple[int, int]: Objects that are meant, and objects that may be
            meant, as bits.

        Raises:
            ValueError: If the language has no such step.
        """
        kind = step[0]
        if kind in ('category', 'color'):
            key = (kind, step[1])
            if key not in self._attributes:
                self._attributes[key] = self._bits(
                    lambda fact: getattr(fact, kind) == step[1]
                )
            return self._attributes[key], self._attributes[key]
        if kind == 'position':
            return self._positions[step[1]]
        if kind == 'relation':
            anchor = self.resolve(step[2])
            if anchor is None:
                return 0, self.everything
            return self._relation(step[1], anchor)
        raise ValueError(f'unknown step {step!r}')

    def resolve(self, program):
        """Index of the one object that a program means.

        Returns:
            int | None: None if no object, several or unclear ones are meant.
        """
        yes, possible = self.run(program)
        if yes and yes == possible and yes & (yes - 1) == 0:
            return yes.bit_length() - 1
        return None
