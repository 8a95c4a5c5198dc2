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
``['top', n, 'largest'|...]``      the n largest or smallest
``['relation', side, program]``    to that side of another object
``['distance', which, program]``   'nearest' to / 'farthest' from another one
=================================  ===========================================

Every predicate has three values: yes, no and *unclear*, for what people might
see either way (an object a little left of the middle is neither clearly on
the left nor clearly not). A program *resolves* if exactly one object is a yes
and no object is unclear; it means several if more than one is a yes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import hypot

Step = list
Program = list[Step]
Objects = tuple[int, int]
"""Objects that are meant, and those that may be meant, each as bits of an integer."""

SIDES = ('left', 'right', 'top', 'bottom')
POSITIONS = (
    *SIDES,
    *('upper left', 'upper right', 'lower left', 'lower right'),
    'center',
)
_SUPERLATIVES = ('extreme', 'size', 'ordinal', 'distance', 'top')

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
RELATION_GAP, RELATION_SLOPE, RELATION_NO = 0.08, 1.0, 0.02
"""To the left of an object: its centroid is at least 0.08 image widths
farther left, and farther left than up or down; not to the left: its centroid
is not farther left at all (less than 0.02)."""


@dataclass(frozen=True)
class ObjectFacts:
    """What programs may ask about an object.

    Lengths are in image sizes; the box is left, top, right and bottom.
    """

    category: str
    color: str | None
    x: float  # of the centroid
    y: float
    area: float  # of the mask, in any unit
    box: tuple[float, float, float, float] | None = None  # the centroid by default

    def toward(self, side: str) -> float:
        """Coordinate of the centroid in [0, 1] that grows towards a side."""
        return self._along(side, (self.x, self.y, self.x, self.y))

    def edge(self, side: str) -> float:
        """Coordinate in [0, 1] of the edge on a side, growing towards it."""
        return self._along(side, self.box or (self.x, self.y, self.x, self.y))

    def _along(self, side: str, box: tuple[float, float, float, float]) -> float:
        index = ('left', 'top', 'right', 'bottom').index(side)
        return box[index] if index > 1 else 1 - box[index]


class SceneSemantics:
    """Runs programs on the objects of one scene."""

    def __init__(self, facts: Iterable[ObjectFacts]) -> None:
        self.facts = list(facts)
        self.everything = (1 << len(self.facts)) - 1
        self._positions = {region: self._position(region) for region in POSITIONS}
        self._relations: dict[tuple[str, int], Objects] = {}
        self._attributes: dict[tuple[str, str], Objects] = {}

    def _bits(self, test: Callable[[ObjectFacts], bool]) -> int:
        return sum(1 << i for i, fact in enumerate(self.facts) if test(fact))

    def _indices(self, bits: int) -> list[int]:
        return [i for i in range(len(self.facts)) if bits >> i & 1]

    def _position(self, region: str) -> Objects:
        sides = region.replace('upper', 'top').replace('lower', 'bottom').split()

        def off(fact: ObjectFacts) -> float:
            if region == 'center':
                return max(abs(fact.x - 0.5), abs(fact.y - 0.5))
            return max(1 - fact.toward(side) for side in sides)

        limits = (CENTER_YES, CENTER_NO) if region == 'center' else (HALF_YES, HALF_NO)
        return (
            self._bits(lambda fact: off(fact) < limits[0]),
            self._bits(lambda fact: off(fact) < limits[1]),
        )

    def _relation(self, side: str, anchor: int) -> Objects:
        if (side, anchor) not in self._relations:
            here = self.facts[anchor]
            yes = possible = 0
            for i, fact in enumerate(self.facts):
                ahead = fact.toward(side) - here.toward(side)
                horizontal = side in ('left', 'right')
                aside = abs(fact.y - here.y if horizontal else fact.x - here.x)
                if ahead >= RELATION_GAP and aside <= RELATION_SLOPE * ahead:
                    yes |= 1 << i
                if ahead >= RELATION_NO:
                    possible |= 1 << i
            self._relations[side, anchor] = yes, possible
        return self._relations[side, anchor]

    def _first(
        self,
        bits: int,
        key: Callable[[ObjectFacts], float],
        clear: Callable[[float, float], bool],
    ) -> Objects:
        """The object with the largest key, if clearly ahead of the next."""
        keys = {i: key(self.facts[i]) for i in self._indices(bits)}
        order = sorted(keys, key=lambda i: keys[i], reverse=True)
        if not order:
            return 0, 0
        if len(order) > 1 and not clear(keys[order[0]], keys[order[1]]):
            return 0, bits
        return 1 << order[0], 1 << order[0]

    def _superlative(self, step: Step, bits: int) -> Objects:
        if step[0] == 'extreme':
            return self._counted(1, step[1], bits)
        if step[0] == 'ordinal':
            return self._counted(step[1], step[2], bits)
        if step[0] == 'size':
            power = 1 if step[1] == 'largest' else -1
            return self._first(
                bits, lambda fact: fact.area**power, lambda a, b: a >= AREA_RATIO * b
            )
        if step[0] == 'top':
            return self._top(step[1], step[2], bits)
        anchor = self.resolve(step[2])
        if anchor is None:
            return 0, bits
        here = self.facts[anchor]
        sign = -1 if step[1] == 'nearest' else 1

        def clear(a: float, b: float) -> bool:
            small, big = sorted((abs(a), abs(b)))
            return big >= DISTANCE_RATIO * small and big - small >= DISTANCE_GAP

        return self._first(
            bits & ~(1 << anchor),
            lambda fact: sign * hypot(fact.x - here.x, fact.y - here.y),
            clear,
        )

    def _top(self, number: int, which: str, bits: int) -> Objects:
        """So many largest or smallest, of more, if clearly apart from the next."""
        power = 1 if which == 'largest' else -1
        order = sorted(
            self._indices(bits), key=lambda i: -(self.facts[i].area ** power)
        )
        if len(order) <= number:
            return 0, bits
        last, after = (
            self.facts[i].area ** power for i in order[number - 1 : number + 1]
        )
        if last < AREA_RATIO * after:
            return 0, bits
        first = sum(1 << i for i in order[:number])
        return first, first

    def _counted(self, number: int, side: str, bits: int) -> Objects:
        """The object with a number, counted from a side."""
        order = sorted(self._indices(bits), key=lambda i: -self.facts[i].toward(side))
        if len(order) < number:
            return 0, bits
        centers = [self.facts[i].toward(side) for i in order]
        edges = [self.facts[i].edge(side) for i in order]
        for i in range(min(number, len(order) - 1)):
            doubtful = centers[i] - centers[i + 1] < EXTREME_GAP
            if doubtful or edges[i] - max(edges[i + 1 :]) < EDGE_GAP:
                return 0, bits
        return 1 << order[number - 1], 1 << order[number - 1]

    def run(self, program: Program) -> Objects:
        """Runs a program."""
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

    def select(self, step: Step) -> Objects:
        """Objects for which a step other than a superlative holds."""
        kind, value = step[:2]
        if kind in ('category', 'color'):
            if (kind, value) not in self._attributes:
                bits = self._bits(lambda fact: getattr(fact, kind) == value)
                self._attributes[kind, value] = bits, bits
            return self._attributes[kind, value]
        if kind == 'position':
            return self._positions[value]
        if kind == 'relation':
            anchor = self.resolve(step[2])
            unclear = 0, self.everything
            return unclear if anchor is None else self._relation(value, anchor)
        raise ValueError(f'unknown step {step!r}')

    def resolve_all(self, program: Program) -> tuple[int, ...]:
        """Indices of all objects that a program means; none where one is unclear."""
        yes, possible = self.run(program)
        return tuple(self._indices(yes)) if yes == possible else ()

    def resolve(self, program: Program) -> int | None:
        """Index of the one object that a program means; None if it isn't one."""
        yes, possible = self.run(program)
        if yes and yes == possible and yes & (yes - 1) == 0:
            return yes.bit_length() - 1
        return None
