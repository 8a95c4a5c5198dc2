# SPDX-License-Identifier: Apache-2.0
"""The seven kinds of objects of SynthRS: outlines and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .brush import Brush, Color, arc, rectangle, rotate, stadium

_PAINT: dict[str | None, Color] = {
    'red': (176, 62, 52),
    'blue': (48, 92, 168),
    'green': (62, 132, 74),
    'orange': (216, 130, 50),
    'white': (236, 236, 232),
    'gray': (128, 132, 136),
    'brown': (132, 84, 54),
}
_WHITE = (240, 240, 236)
_ASPHALT = (98, 98, 102)
_LAWN = (84, 140, 66)
_DIRT = (176, 124, 82)


@dataclass(frozen=True)
class Style:
    """Details that only change the looks of an object."""

    variant: int = 0
    tone: float = 1.0
    aspect: float = 0.0
    arms: Sequence[float] = (0.0, 0.0, 0.0, 0.0)


@dataclass
class SceneObject:
    """An object on the ground, in pixel coordinates of the image."""

    category: str
    center: tuple[float, float]  # (x, y)
    size: float  # longest extent before rotation
    angle: float = 0.0  # in degrees
    color: str | None = None  # None where the category has none
    style: Style = field(default_factory=Style)

    def __post_init__(self) -> None:
        if self.category not in CATEGORIES:
            raise ValueError(
                f'unknown category {self.category!r}; choose one '
                f'of {", ".join(CATEGORIES)}'
            )

    def outline(self) -> np.ndarray:
        """Outline about the origin before rotation, shape ``(N, 2)``."""
        return KINDS[self.category].outline(self)

    def polygon(self) -> np.ndarray:
        """Outline in pixels, shape ``(N, 2)``, what the mask covers."""
        return rotate(self.outline(), self.angle) + np.asarray(self.center)

    def clearance(self) -> np.ndarray:
        """Outline of the ground that the object needs, shape ``(N, 2)``."""
        if self.category == 'roundabout':
            return arc(self.size * 0.9, points=16) + np.asarray(self.center)
        return self.polygon()

    def bbox(self) -> list[float]:
        """Bounding box ``[x, y, width, height]`` in pixels."""
        points = self.polygon()
        low, high = points.min(axis=0), points.max(axis=0)
        return [float(v) for v in (*low, *(high - low))]

    def area(self) -> float:
        """Area of the outline in square pixels."""
        x, y = self.polygon().T
        return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)

    def centroid(self) -> tuple[float, float]:
        """Centre of mass of the outline, ``(x, y)`` in pixels."""
        points = self.polygon() - np.asarray(self.center)
        after = np.roll(points, -1, axis=0)
        cross = points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1]
        offset = ((points + after) * cross[:, None]).sum(axis=0)
        offset = offset / (3 * cross.sum())
        return float(self.center[0] + offset[0]), float(self.center[1] + offset[1])

    def toned(self, color: Color) -> np.ndarray:
        """A colour in the object's own tone, RGB."""
        return np.asarray(color) * self.style.tone


def random_object(
    rng: np.random.Generator,
    category: str,
    center: Sequence[float] | np.ndarray,
    size: float,
    angle: float | None = None,
    color: str | None = None,
) -> SceneObject:
    """Makes an object whose details, and what isn't given, are drawn at random.

    Lengths are in pixels, the angle in degrees; the colour is one of the category's
    :data:`OBJECT_COLORS`.
    """
    if angle is None:
        angle = rng.uniform(0, 360)
    if color is None and category in OBJECT_COLORS:
        color = str(rng.choice(OBJECT_COLORS[category]))
    style = Style(
        variant=int(rng.integers(4)),
        tone=float(rng.uniform(0.9, 1.08)),
        aspect=float(rng.uniform(-1, 1)),
        arms=[float(a) for a in rng.uniform(-14, 14, 4)],
    )
    x, y = float(center[0]), float(center[1])
    return SceneObject(category, (x, y), float(size), float(angle), color, style)


def draw_objects(
    canvas: np.ndarray, objects: Iterable[SceneObject], light: float = 225.0
) -> np.ndarray:
    """Draws objects on an image ``(H, W, 3)``, uint8 RGB, in place; returns it.

    ``light`` is the direction in degrees in which shadows fall.
    """
    for obj in objects:
        brush = Brush(canvas, obj.center, obj.size * 1.05 + 3, obj.angle)
        KINDS[obj.category].draw(brush, obj, light)
        brush.commit()
    return canvas


def _box(ratio: float) -> Callable[[SceneObject], np.ndarray]:
    return lambda obj: rectangle(obj.size, obj.size * ratio)


def _disk(obj: SceneObject) -> np.ndarray:
    return arc(obj.size / 2, points=48)


def _track_outline(obj: SceneObject) -> np.ndarray:
    return stadium(obj.size, obj.size * 0.54)


def _baseball_outline(obj: SceneObject) -> np.ndarray:
    radius = obj.size / np.sqrt(2)
    return _sector(radius, -radius / 2)


def _draw_tennis(brush: Brush, obj: SceneObject, light: float) -> None:
    size, width = obj.size, obj.size * 0.52
    color = obj.toned(_PAINT[obj.color])
    brush.fill(obj.outline(), color * 0.72)
    length, width = size * 0.70, width * 0.64
    brush.fill(rectangle(length, width), color * 1.12)
    pen = max(size * 0.018, 0.5)
    brush.line(rectangle(length, width), _WHITE, pen, closed=True)
    for side in (-1, 1):
        y = side * width * 0.37
        brush.line([(-length / 2, y), (length / 2, y)], _WHITE, pen * 0.8)
        x = side * length * 0.27
        brush.line([(x, -width * 0.37), (x, width * 0.37)], _WHITE, pen * 0.8)
    brush.line([(-length * 0.27, 0), (length * 0.27, 0)], _WHITE, pen * 0.8)
    brush.line([(0, -width * 0.62), (0, width * 0.62)], (36, 40, 40), pen)


def _draw_basketball(brush: Brush, obj: SceneObject, light: float) -> None:
    size, width = obj.size, obj.size * 0.58
    color = obj.toned(_PAINT[obj.color])
    brush.fill(obj.outline(), color)
    key = color * 0.55 if obj.style.variant % 2 else color * 1.35 + 12
    pen = max(size * 0.02, 0.55)
    length, width = size * 0.92, width * 0.88
    for side in (-1, 1):
        box = rectangle(length * 0.2, width * 0.34, x=side * length * 0.4)
        brush.fill(box, key)
        brush.line(box, _WHITE, pen, closed=True)
        start, x = 90 * side, side * length * 0.45
        brush.line(arc(width * 0.43, start, start + 180, x=x), _WHITE, pen)
    brush.fill(arc(width * 0.17), key)
    brush.line(arc(width * 0.17), _WHITE, pen, closed=True)
    brush.line([(0, -width / 2), (0, width / 2)], _WHITE, pen)
    brush.line(rectangle(length, width), _WHITE, pen, closed=True)


def _sector(radius: float, home: float) -> np.ndarray:
    return np.concatenate([[(home, 0.0)], arc(radius, -45, 45, x=home, points=20)])


def _draw_baseball(brush: Brush, obj: SceneObject, light: float) -> None:
    radius = obj.size / np.sqrt(2)
    home = -radius / 2
    dirt, lawn = obj.toned(_DIRT), obj.toned(_LAWN)
    brush.fill(obj.outline(), dirt)
    brush.fill(_sector(radius * 0.93, home + radius * 0.02), lawn)
    for ring in (0.84, 0.66):
        brush.line(arc(radius * ring, -42, 42, x=home), lawn * 1.1, radius * 0.08)
    brush.fill(_sector(radius * 0.52, home), dirt)
    base = radius * 0.3
    diamond = np.array([(0, 0), (1, -1), (2, 0), (1, 1)]) * base / np.sqrt(2)
    inner = diamond * 0.84 + (home + radius * 0.075, 0)
    brush.fill(inner, lawn)
    brush.fill(arc(radius * 0.045, x=home + base * 0.72, points=12), dirt)
    brush.fill(arc(radius * 0.05, x=home + radius * 0.085, points=12), dirt)
    pen = max(radius * 0.014, 0.35)
    start, far = home + radius * 0.04, radius * 0.9 / np.sqrt(2)
    for side in (-1, 1):
        brush.line([(start, 0), (start + far, side * far)], _WHITE, pen)
    for x, y in diamond[1:] + (start, 0):
        brush.fill(rectangle(pen * 2.5, pen * 2.5, x, y), _WHITE)


def _draw_track(brush: Brush, obj: SceneObject, light: float) -> None:
    size, width = obj.size, obj.size * 0.54
    color, lawn = obj.toned(_PAINT[obj.color]), obj.toned(_LAWN)
    brush.fill(obj.outline(), color)
    pen = max(size * 0.006, 0.25)
    for inset in (0.045, 0.09):
        ring = stadium(size * (1 - inset), width - size * inset)
        brush.line(ring, color * 1.25 + 20, pen, closed=True)
    brush.fill(stadium(size * 0.82, width - size * 0.18), lawn)
    length, breadth = size * 0.52, width * 0.56
    for stripe in range(6):
        box = rectangle(length / 6, breadth, (stripe - 2.5) * length / 6)
        brush.fill(box, lawn * (1.1 if stripe % 2 else 0.95))
    pen = max(size * 0.01, 0.4)
    brush.line(rectangle(length, breadth), _WHITE, pen, closed=True)
    brush.line([(0, -breadth / 2), (0, breadth / 2)], _WHITE, pen)
    brush.line(arc(breadth * 0.16), _WHITE, pen, closed=True)


def _draw_roundabout(brush: Brush, obj: SceneObject, light: float) -> None:
    radius = obj.size / 2
    road = obj.toned(_ASPHALT)
    pen = max(radius * 0.05, 0.4)
    count = 3 if obj.style.variant == 0 else 4
    for index in range(count):
        angle = index * 360 / count + obj.style.arms[index]
        brush.fill(rotate(rectangle(radius * 0.5, radius * 0.56, radius), angle), road)
        brush.line(rotate([(radius * 1.02, 0), (radius * 1.25, 0)], angle), _WHITE, pen)
        for step in range(8):  # the road fades into the ground
            x = radius * (1.29 + 0.08 * step)
            piece = rectangle(radius * 0.08, radius * 0.56, x)
            brush.blend(rotate(piece, angle), road, 0.9 - 0.11 * step)
    brush.fill(obj.outline(), road)
    brush.line(arc(radius * 0.95, points=40), road * 1.5, pen, closed=True)
    for start in range(0, 360, 30):
        brush.line(arc(radius * 0.76, start, start + 15, points=5), _WHITE, pen * 0.8)
    brush.fill(arc(radius * 0.56, points=40), (206, 204, 196))
    brush.fill(arc(radius * 0.5, points=40), obj.toned(_LAWN))
    center = ((58, 104, 50), (196, 182, 150), (70, 128, 60), (120, 160, 84))
    brush.fill(arc(radius * 0.22), center[obj.style.variant])


def _pool_outline(obj: SceneObject) -> np.ndarray:
    width = obj.size * (0.55 + 0.08 * obj.style.aspect)
    if obj.style.variant == 0:
        return rectangle(obj.size, width)
    if obj.style.variant == 1:
        return stadium(obj.size, width)
    if obj.style.variant == 2:
        return arc(obj.size / 2, points=40)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    dent = 1 - 0.34 * np.exp(-(((angles - np.pi / 2) / 0.5) ** 2))
    x, y = np.cos(angles) * obj.size / 2, np.sin(angles) * obj.size * 0.36 * dent
    return np.stack([x, y], axis=1)


def _draw_pool(brush: Brush, obj: SceneObject, light: float) -> None:
    outline = obj.outline()
    water = obj.toned((54, 168, 212))
    length, width = np.ptp(outline, axis=0)
    grow = 1 + 0.22 * np.array([1, obj.size / width]) * 0.8
    brush.fill(outline * grow, (206, 198, 184))
    brush.fill(outline, (238, 242, 242))
    brush.fill(outline * 0.91, water)
    brush.fill(outline * 0.62, water * (0.82, 0.9, 0.96))
    if obj.style.variant == 0:
        for y in (-0.25 * width, 0.0, 0.25 * width):
            lane = [(-length * 0.44, y), (length * 0.44, y)]
            brush.line(lane, water * 1.3, max(obj.size * 0.012, 0.3))


def _draw_tank(brush: Brush, obj: SceneObject, light: float) -> None:
    radius = obj.size / 2
    color = obj.toned(_PAINT[obj.color])
    offset = rotate([(radius * 0.36, 0)], light - obj.angle)
    for step in (0.5, 1.0):
        brush.shade(obj.outline() + offset * step, 0.72)
    brush.fill(obj.outline(), color * 0.78)
    brush.fill(arc(radius * 0.93, points=40), color)
    side = rotate(arc(radius * 0.9, -80, 80, points=20), light - obj.angle)
    brush.fill(side, color * 0.9)
    pen = max(radius * 0.035, 0.3)
    if obj.style.variant in (0, 1):
        brush.line(arc(radius * 0.6, points=32), color * 0.74, pen, closed=True)
    if obj.style.variant in (1, 2):
        for angle in range(0, 180, 45):
            spoke = rotate([(-radius * 0.88, 0), (radius * 0.88, 0)], angle)
            brush.line(spoke, color * 0.8, pen * 0.7)
    brush.fill(arc(radius * 0.13, points=12), color * 0.66)
    brush.line([(radius * 0.2, 0), (radius * 0.95, 0)], color * 0.6, pen)


class Kind(NamedTuple):
    """What the objects of a category have in common."""

    outline: Callable[[SceneObject], np.ndarray]
    draw: Callable[[Brush, SceneObject, float], None]  # the last is the light
    size: float  # relative to that of other categories
    colors: str = ''  # none for one usual colour that expressions don't use


KINDS = {
    'baseball field': Kind(_baseball_outline, _draw_baseball, 1.1),
    'basketball field': Kind(
        _box(0.58), _draw_basketball, 1.0, 'red blue green orange'
    ),
    'ground track field': Kind(_track_outline, _draw_track, 1.3, 'red blue'),
    'roundabout': Kind(_disk, _draw_roundabout, 0.85),
    'swimming pool': Kind(_pool_outline, _draw_pool, 0.8),
    'storage tank': Kind(_disk, _draw_tank, 0.75, 'white gray brown'),
    'tennis court': Kind(_box(0.52), _draw_tennis, 1.0, 'red blue green'),
}
CATEGORIES = tuple(KINDS)
"""Category names as RRSIS-HR spells them."""

OBJECT_COLORS = {
    name: tuple(kind.colors.split()) for name, kind in KINDS.items() if kind.colors
}
"""Colour words by category, of those whose objects differ in colour."""
