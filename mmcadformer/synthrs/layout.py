# SPDX-License-Identifier: Apache-2.0
"""Where the objects of a SynthRS scene stand."""

from dataclasses import dataclass
from itertools import cycle

import cv2
import numpy as np

from .objects import CATEGORIES, OBJECT_COLORS, random_object

_GRID = 160  # side of the map of taken ground

_SIZE_FACTORS = {
    'baseball field': 1.1,
    'basketball field': 1.0,
    'ground track field': 1.3,
    'roundabout': 0.85,
    'swimming pool': 0.8,
    'storage tank': 0.75,
    'tennis court': 1.0,
}


@dataclass(frozen=True)
class Difficulty:
    """What makes scenes and expressions hard.

    Attributes:
        main (tuple[int, int]): Least and most objects of the category that
            the scene is about.
        others (tuple[int, int]): Least and most objects of other categories.
        other_categories (int): How many other categories there may be.
        size (tuple[float, float]): Longest extent of an object relative to
            the image side, before the category's factor.
        clutter (tuple[int, int]): Least and most houses, trees and cars.
        complexity (int): See :func:`.expressions.describe`.
        weights (dict[str, float]): Share of the expression types.
    """

    main: tuple
    others: tuple
    other_categories: int
    size: tuple
    clutter: tuple
    complexity: int
    weights: dict


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
"""dict[str, Difficulty]: Presets."""


class TakenGround:
    """Remembers which parts of an image are taken.

    Args:
        image_size (int): Side of the image in pixels.
        gap (float): Distance kept between things, relative to the side.
    """

    def __init__(self, image_size, gap=0.025):
        self.scale = _GRID / image_size
        self.gap = max(1, int(round(gap * _GRID)))
        self.map = np.zeros((_GRID, _GRID), np.uint8)

    def _part(self, points):
        points = np.asarray(points) * self.scale
        low = np.floor(points.min(axis=0)).astype(int) - 1
        high = np.ceil(points.max(axis=0)).astype(int) + 2
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(mask, [np.round(points - low).astype(np.int32)], 1)
        return low, high, mask

    def free(self, points):
        """Whether a polygon ``(N, 2)`` in pixels lies on free ground."""
        low, high, mask = self._part(points)
        if low.min() < 0 or high.max() > _GRID:
            return False
        return not (self.map[low[1] : high[1], low[0] : high[0]] & mask).any()

    def take(self, points):
        """Mark a polygon and a margin around it as taken."""
        points = np.round(np.asarray(points) * self.scale).astype(np.int32)
        cv2.fillPoly(self.map, [points], 1)
        cv2.polylines(self.map, [points], True, 1, 2 * self.gap)

    def take_line(self, points, width):
        """Mark a polyline ``width`` pixels wide as taken."""
        points = np.round(np.asarray(points) * self.scale).astype(np.int32)
        cv2.polylines(self.map, [points], False, 1, max(1, int(width * self.scale)))


def choose_objects(rng, difficulty):
    """Categories of the objects of a scene, in random order.

    The order carries no meaning: any object may become a target.
    """
    order = [str(c) for c in rng.permutation(CATEGORIES)]
    count = rng.integers(difficulty.main[0], difficulty.main[1] + 1)
    chosen = [order[0]] * int(count)
    for _ in range(rng.integers(difficulty.others[0], difficulty.others[1] + 1)):
        chosen.append(order[1 + rng.integers(difficulty.other_categories)])
    return [str(c) for c in rng.permutation(chosen)]


def _choose_colors(rng):
    """Endless colours by category: all at random, or in turn."""
    colors = {}
    in_turn = rng.random() < 0.5  # makes more objects the only red one
    for category, options in OBJECT_COLORS.items():
        order = [str(c) for c in rng.permutation(options)]
        if not in_turn:
            order = [str(c) for c in rng.choice(options, 24)]
        colors[category] = cycle(order)
    return colors


def place_objects(rng, image_size, difficulty, ground):
    """Put objects on free ground so that none touches another one.

    Args:
        rng (np.random.Generator): Source of randomness.
        image_size (int): Side of the image in pixels.
        difficulty (Difficulty): Counts and sizes.
        ground (TakenGround): Ground that is taken; the objects' is added.

    Returns:
        list[SceneObject]: The objects.
    """
    aligned = rng.random() < 0.4
    common = float(rng.uniform(0, 360))
    colors = _choose_colors(rng)
    placed = []
    for category in choose_objects(rng, difficulty):
        size = rng.uniform(*difficulty.size) * _SIZE_FACTORS[category]
        size *= image_size
        angle = common + 90.0 * rng.integers(4) if aligned else None
        color = next(colors[category]) if category in colors else None
        obj = random_object(rng, category, (0, 0), size, angle, color)
        for _ in range(4):
            if _find_place(rng, image_size, obj, ground):
                placed.append(obj)
                break
            obj.size *= 0.88
    return placed


def _find_place(rng, image_size, obj, ground, tries=20):
    """Move an object to free ground; False if none was found."""
    outline = obj.clearance() - np.asarray(obj.center)
    half = obj.size * 0.3
    for place in rng.uniform(half, image_size - half, (tries, 2)):
        if ground.free(outline + place):
            ground.take(outline + place)
            obj.center = (float(place[0]), float(place[1]))
            return True
    return False
