# SPDX-License-Identifier: Apache-2.0
"""Where the objects of a SynthRS scene stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from .ground import Ground
from .objects import CATEGORIES, KINDS, OBJECT_COLORS, SceneObject, random_object


@dataclass(frozen=True)
class Difficulty:
    """What makes scenes and expressions hard.

    Attributes:
        main: Least and most objects of the category that the scene is about.
        others: Least and most objects of other categories.
        other_categories: How many other categories there may be.
        size: Longest extent of an object relative to the image side, before the
            category's factor.
        clutter: Least and most houses, trees and cars.
        complexity: See :func:`.expressions.describe`.
        weights: Share of the expression types.
    """

    main: tuple[int, int]
    others: tuple[int, int]
    other_categories: int
    size: tuple[float, float]
    clutter: tuple[int, int]
    complexity: int
    weights: dict[str, float]


DIFFICULTIES = {
    # For the quickstart: what a tiny model can learn from scratch in minutes.
    'starter': Difficulty(
        main=(3, 4),
        others=(1, 2),
        other_categories=2,
        size=(0.26, 0.36),
        clutter=(0, 6),
        complexity=1,
        weights=dict(
            category=0.5, position=6, size=2, color=3, relation=0.3, combination=0
        ),
    ),
    'easy': Difficulty(
        main=(3, 5),
        others=(1, 2),
        other_categories=2,
        size=(0.18, 0.3),
        clutter=(0, 8),
        complexity=2,
        weights=dict(
            category=1, position=4, size=3, color=3, relation=0.6, combination=0.8
        ),
    ),
    'normal': Difficulty(
        main=(3, 5),
        others=(2, 4),
        other_categories=2,
        size=(0.12, 0.24),
        clutter=(4, 20),
        complexity=2,
        weights=dict(
            category=1, position=3, size=3, color=3, relation=3, combination=2
        ),
    ),
    'hard': Difficulty(
        main=(4, 7),
        others=(4, 8),
        other_categories=3,
        size=(0.07, 0.19),
        clutter=(12, 48),
        complexity=3,
        weights=dict(
            category=1, position=2, size=2, color=2, relation=4, combination=5
        ),
    ),
}


def _choose_categories(rng: np.random.Generator, difficulty: Difficulty) -> list[str]:
    """Categories of a scene's objects, in an order that carries no meaning."""
    order = [str(c) for c in rng.permutation(CATEGORIES)]
    count = rng.integers(difficulty.main[0], difficulty.main[1] + 1)
    chosen = [order[0]] * int(count)
    for _ in range(rng.integers(difficulty.others[0], difficulty.others[1] + 1)):
        chosen.append(order[1 + rng.integers(difficulty.other_categories)])
    return [str(c) for c in rng.permutation(chosen)]


def _choose_colors(rng: np.random.Generator) -> dict[str, Iterator[str]]:
    """Endless colours by category: all at random, or in turn."""
    colors: dict[str, Iterator[str]] = {}
    in_turn = rng.random() < 0.5  # makes more objects the only red one
    for category, options in OBJECT_COLORS.items():
        order = [str(c) for c in rng.permutation(options)]
        if not in_turn:
            order = [str(c) for c in rng.choice(options, 24)]
        colors[category] = cycle(order)
    return colors


def place_objects(
    rng: np.random.Generator, difficulty: Difficulty, ground: Ground
) -> list[SceneObject]:
    """Puts objects on free ground, which they take, so that none touches another."""
    aligned = rng.random() < 0.4
    common = float(rng.uniform(0, 360))
    colors = _choose_colors(rng)
    placed = []
    for category in _choose_categories(rng, difficulty):
        size = rng.uniform(*difficulty.size) * KINDS[category].size * ground.size
        angle = common + 90.0 * rng.integers(4) if aligned else None
        color = next(colors[category]) if category in colors else None
        obj = random_object(rng, category, (0, 0), size, angle, color)
        for _ in range(4):
            if _find_place(rng, obj, ground):
                placed.append(obj)
                break
            obj.size *= 0.88
    return placed


def _find_place(rng: np.random.Generator, obj: SceneObject, ground: Ground) -> bool:
    """Moves an object to free ground; False if none was found."""
    outline = obj.clearance() - np.asarray(obj.center)
    half = obj.size * 0.3
    for place in rng.uniform(half, ground.size - half, (20, 2)):
        if ground.is_free(outline + place):
            ground.take(outline + place)
            obj.center = (float(place[0]), float(place[1]))
            return True
    return False
