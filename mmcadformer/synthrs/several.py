# SPDX-License-Identifier: Apache-2.0
"""Sentences that mean several objects, and sentences that mean none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..datasets.targets import ABSENCES
from .expressions import anchors, realize_several
from .semantics import POSITIONS, SIDES, Program, SceneSemantics, Step

SEVERAL_WEIGHTS = dict(category=0.3, color=14.0, position=3.0, relation=2.0, size=1.0)
"""Shares of the types of sentences that mean several objects."""
_CATEGORY, _ATTRIBUTE, _RELATION = ABSENCES
_TRIES = 120  # sentences that are looked at for one that is false


class Saying(NamedTuple):
    """A sentence and what it means."""

    text: str
    kind: str  # one of the EXPRESSION_TYPES
    program: Program
    plural: bool

    @property
    def category(self) -> str:
        """Of the objects that it looks for."""
        return self.program[0][1]

    def to_dict(self) -> dict:
        """As :class:`~mmcadformer.synthrs.Scene` has sentences."""
        return dict(text=self.text, type=self.kind, program=self.program)


def describe_several(semantics: SceneSemantics) -> dict[str, list[Program]]:
    """Programs that mean two objects or more of one category, by type."""
    found: dict[str, list[Program]] = {kind: [] for kind in SEVERAL_WEIGHTS}
    categories = sorted({fact.category for fact in semantics.facts})
    near = [program for _, program in anchors(semantics)]
    for category in categories:
        noun: Step = ['category', category]
        colors = sorted({f.color for f in semantics.facts if f.color is not None})
        steps: list[tuple[str, Step]] = [('color', ['color', c]) for c in colors]
        steps += [('position', ['position', region]) for region in POSITIONS]
        steps += [
            ('relation', ['relation', side, anchor])
            for anchor in near
            if anchor[0] != noun
            for side in SIDES
        ]
        steps += [('size', ['top', 2, which]) for which in ('largest', 'smallest')]
        programs = [
            ('category', [noun]),
            *((kind, [noun, step]) for kind, step in steps),
        ]
        for kind, program in programs:
            if len(semantics.resolve_all(program)) > 1:
                found[kind].append(program)
    return found


def say_several(
    rng: np.random.Generator, semantics: SceneSemantics, count: int
) -> list[tuple[tuple[int, ...], Saying]]:
    """Up to ``count`` sentences, and the indices of the objects that each means."""
    found = {kind: list(p) for kind, p in describe_several(semantics).items() if p}
    said: dict[tuple[int, ...], Saying] = {}
    for _ in range(4 * count):
        if len(said) == count or not found:
            break
        share = np.array([SEVERAL_WEIGHTS[kind] for kind in found])
        kind = str(rng.choice(list(found), p=share / share.sum()))
        program = found[kind][int(rng.integers(len(found[kind])))]
        indices = semantics.resolve_all(program)
        text = realize_several(program, len(indices), rng)
        said.setdefault(indices, Saying(text, kind, program, True))
    return list(said.items())


def absence(semantics: SceneSemantics, program: Program) -> str | None:
    """Why a program means nothing in a scene; None where it may mean something.

    Which of the :data:`~mmcadformer.datasets.targets.ABSENCES`: nothing of its category
    is there; some, but none of its colour; some of that, but none at its place or in
    its relation to another object, which is there. No object may be unclear.
    """
    noun, *others = program
    if not semantics.run([noun])[1]:
        return _CATEGORY
    colors = [step for step in others if step[0] == 'color']
    if not semantics.run([noun, *colors])[1]:
        return _ATTRIBUTE
    places = [step for step in others if step[0] in ('position', 'relation')]
    anchored = all(
        step[0] == 'position' or semantics.resolve(step[2]) is not None
        for step in places
    )
    if places and anchored and not semantics.run([noun, *colors, *places])[1]:
        return _RELATION
    return None


class AbsentSayings:
    """Draws sentences that are false in a scene from those that are true in others.

    So nothing in a text tells that it is false: each type, number and category is drawn
    in proportion to how often it is true. The degrees of absence come equally often.

    Args:
        sayings: All sentences that are true somewhere.
        expected: How many sentences without a target will be drawn.
    """

    def __init__(self, sayings: Iterable[Saying], expected: int) -> None:
        self._sayings = list(sayings)
        self._wanted: Counter[Hashable] = Counter()
        for saying in self._sayings:
            self._wanted.update(_groups(saying))
        self._expected = expected
        self._share = expected / max(len(self._sayings), 1)
        self._drawn: Counter[Hashable] = Counter()
        self._degrees = dict.fromkeys(ABSENCES, 0)

    def draw(
        self, rng: np.random.Generator, semantics: SceneSemantics
    ) -> tuple[str, Saying] | None:
        """Degree of absence and a sentence; None if none was found."""
        if not self._sayings:
            return None
        found: dict[str, list[Saying]] = {why: [] for why in ABSENCES}
        for index in rng.integers(len(self._sayings), size=_TRIES):
            saying = self._sayings[int(index)]
            why = absence(semantics, saying.program)
            if why is not None:
                found[why].append(saying)
        there = [why for why in ABSENCES if found[why]]
        if not there:
            return None
        degree = min(there, key=lambda why: self._degrees[why])
        saying = min(found[degree], key=self._excess)
        self._degrees[degree] += 1
        self._drawn.update(_groups(saying))
        return degree, saying

    def _excess(self, saying: Saying) -> float:
        """How much more often than wanted so far the groups of a sentence were drawn.

        In standard deviations of what chance would give, so that large groups count.
        """
        so_far = self._share * sum(self._degrees.values()) / max(self._expected, 1)
        total = 0.0
        for group in _groups(saying):
            wanted = self._wanted[group]
            total += (self._drawn[group] - wanted * so_far) / (wanted**0.5 + 1)
        return total


def _groups(saying: Saying) -> list[Hashable]:
    """What a text could tell absence by, were it drawn more often than it is true."""
    colors = [step[1] for step in saying.program if step[0] == 'color']
    places = [step[1] for step in saying.program if step[0] == 'position']
    return [
        ('colored', saying.plural, bool(colors)),
        (saying.plural, saying.kind),
        (saying.category, saying.kind),
        *(('color', saying.category, color) for color in colors),
        *(('place', place) for place in places),
    ]


def draw_numbers(
    rng: np.random.Generator, count: int, shares: Mapping[str, float]
) -> dict[str, int]:
    """How many of ``count`` sentences mean none, several and one object."""
    names: Sequence[str] = list(shares)
    drawn = rng.choice(len(names), size=count, p=[shares[name] for name in names])
    return {name: int((drawn == index).sum()) for index, name in enumerate(names)}
