# SPDX-License-Identifier: Apache-2.0
"""The seven kinds of objects of SynthRS: outlines and how they are drawn."""

from dataclasses import dataclass, field

import numpy as np

from .brush import Brush, arc, rectangle, rotate, stadium

CATEGORIES = (
    'baseball field',
    'basketball field',
    'ground track field',
    'roundabout',
    'swimming pool',
    'storage tank',
    'tennis court',
)
"""tuple[str]: Category names as RRSIS-HR spells them."""

OBJECT_COLORS = {
    'basketball field': ('red', 'blue', 'green', 'orange'),
    'ground track field': ('red', 'blue'),
    'storage tank': ('white', 'gray', 'brown'),
    'tennis court': ('red', 'blue', 'green'),
}
"""dict[str, tuple[str]]: Colour words by category; categories left out have
one usual colour that expressions don't use."""

_PAINT = {
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


@dataclass
class SceneObject:
    """An object on the ground, in pixel coordinates of the image.

    Attributes:
        category (str): One of :data:`CATEGORIES`.
        center (tuple[float, float]): ``(x, y)`` in pixels.
        size (float): Longest extent before rotation, in pixels.
        angle (float): Rotation in degrees.
        color (str | None): Colour word, None where the category has none.
        style (dict): Details that only change the looks.
    """

    category: str
    center: tuple
    size: float
    angle: float = 0.0
    color: str = None
    style: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.category not in CATEGORIES:
            raise ValueError(
                f'unknown category {self.category!r}; choose one '
                f'of {", ".join(CATEGORIES)}'
            )

    def polygon(self):
        """Outline in pixels, shape ``(N, 2)``, what the mask covers."""
        local = _OUTLINES[self.category](self)
        return rotate(local, self.angle) + np.asarray(self.center)

    def clearance(self):
        """Outline of the ground that the object needs, shape ``(N, 2)``."""
        if self.category == 'roundabout':
            return arc(self.size * 0.9, points=16) + np.asarray(self.center)
        return self.polygon()

    def bbox(self):
        """Bounding box ``[x, y, width, height]`` in pixels."""
        points = self.polygon()
        low, high = points.min(axis=0), points.max(axis=0)
        return [float(v) for v in (*low, *(high - low))]

    def area(self):
        """Area of the outline in square pixels."""
        x, y = self.polygon().T
        return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)

    def centroid(self):
        """Centre of mass of the outline, ``(x, y)`` in pixels."""
        points = self.polygon() - np.asarray(self.center)
        after = np.roll(points, -1, axis=0)
        cross = points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1]
        offset = ((points + after) * cross[:, None]).sum(axis=0)
        offset = offset / (3 * cross.sum())
        return (float(self.center[0] + offset[0]), float(self.center[1] + offset[1]))


def random_object(rng, category, center, size, angle=None, color=None):
    """Make an object whose colour and details are drawn at random.

    Args:
        rng (np.random.Generator): Source of randomness.
        category (str): One of :data:`CATEGORIES`.
        center (tuple[float, float]): ``(x, y)`` in pixels.
        size (float): Longest extent in pixels.
        angle (float, optional): Rotation in degrees; random by default.
        color (str, optional): One of the category's :data:`OBJECT_COLORS`;
            random by default.

    Returns:
        SceneObject: The object.
    """
    if angle is None:
        angle = float(rng.uniform(0, 360))
    if color is None and category in OBJECT_COLORS:
        color = str(rng.choice(OBJECT_COLORS[category]))
    style = dict(
        variant=int(rng.integers(4)),
        tone=float(rng.uniform(0.9, 1.08)),
        aspect=float(rng.uniform(-1, 1)),
        arms=[float(a) for a in rng.uniform(-14, 14, 4)],
    )
    return SceneObject(
        category,
        (float(center[0]), float(center[1])),
        float(size),
        float(angle),
        color,
        style,
    )


def draw_objects(canvas, objects, light=225.0):
    """Draw objects on an image of any size.

    Args:
        canvas (np.ndarray): Image ``(H, W, 3)``, uint8 RGB; changed in place.
        objects (Iterable[SceneObject]): What to draw, in pixel coordinates.
        light (float): Direction in degrees in which shadows fall.

    Returns:
        np.ndarray: ``canvas``.
    """
    for obj in objects:
        brush = Brush(canvas, obj.center, obj.size * 1.05 + 3, obj.angle)
        _PAINTERS[obj.category](brush, obj, light)
        brush.commit()
    return canvas


def _tone(obj, color):
    return np.asarray(color) * obj.style.get('tone', 1.0)


def _court_outline(obj):
    ratio = {'tennis court': 0.52, 'basketball field': 0.58}[obj.category]
    return rectangle(obj.size, obj.size * ratio)


def _draw_tennis(brush, obj, light):
    size, width = obj.size, obj.size * 0.52
    color = _tone(obj, _PAINT[obj.color])
    brush.fill(_court_outline(obj), color * 0.72)
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


def _draw_basketball(brush, obj, light):
    size, width = obj.size, obj.size * 0.58
    color = _tone(obj, _PAINT[obj.color])
    brush.fill(_court_outline(obj), color)
    key = color * 0.55 if obj.style.get('variant', 0) % 2 else color * 1.35 + 12
    pen = max(size * 0.02, 0.55)
    length, width = size * 0.92, width * 0.88
    for side in (-1, 1):
        box = rectangle(length * 0.2, width * 0.34, x=side * length * 0.4)
        brush.fill(box, key)
        brush.line(box, _WHITE, pen, closed=True)
        start = 90 if side > 0 else -90
        brush.line(
            arc(width * 0.43, start, start + 180, x=side * length * 0.45), _WHITE, pen
        )
    brush.fill(arc(width * 0.17), key)
    brush.line(arc(width * 0.17), _WHITE, pen, closed=True)
    brush.line([(0, -width / 2), (0, width / 2)], _WHITE, pen)
    brush.line(rectangle(length, width), _WHITE, pen, closed=True)


def _sector(radius, home, points=20):
    return np.concatenate([[(home, 0.0)], arc(radius, -45, 45, x=home, points=points)])


def _baseball_outline(obj):
    radius = obj.size / np.sqrt(2)
    return _sector(radius, -radius / 2)


def _draw_baseball(brush, obj, light):
    radius = obj.size / np.sqrt(2)
    home = -radius / 2
    dirt, lawn = _tone(obj, _DIRT), _tone(obj, _LAWN)
    brush.fill(_baseball_outline(obj), dirt)
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


def _track_outline(obj):
    return stadium(obj.size, obj.size * 0.54)


def _draw_track(brush, obj, light):
    size, width = obj.size, obj.size * 0.54
    color, lawn = _tone(obj, _PAINT[obj.color]), _tone(obj, _LAWN)
    brush.fill(_track_outline(obj), color)
    pen = max(size * 0.006, 0.25)
    for inset in (0.045, 0.09):
        ring = stadium(size * (1 - inset), width - size * inset)
        brush.line(ring, color * 1.25 + 20, pen, closed=True)
    brush.fill(stadium(size * 0.82, width - size * 0.18), lawn)
    length, breadth = size * 0.52, width * 0.56
    for stripe in range(6):
        x = (stripe - 2.5) * length / 6
        brush.fill(
            rectangle(length / 6, breadth, x), lawn * (1.1 if stripe % 2 else 0.95)
        )
    pen = max(size * 0.01, 0.4)
    brush.line(rectangle(length, breadth), _WHITE, pen, closed=True)
    brush.line([(0, -breadth / 2), (0, breadth / 2)], _WHITE, pen)
    brush.line(arc(breadth * 0.16), _WHITE, pen, closed=True)


def _round_outline(obj):
    return arc(obj.size / 2, points=48)


def _draw_roundabout(brush, obj, light):
    radius = obj.size / 2
    road = _tone(obj, _ASPHALT)
    pen = max(radius * 0.05, 0.4)
    turns = obj.style.get('arms', [0.0] * 4)
    count = 3 if obj.style.get('variant', 0) == 0 else 4
    for index in range(count):
        angle = index * 360 / count + turns[index]
        brush.fill(rotate(rectangle(radius * 0.5, radius * 0.56, radius), angle), road)
        brush.line(rotate([(radius * 1.02, 0), (radius * 1.25, 0)], angle), _WHITE, pen)
        for step in range(8):  # the road fades into the ground
            piece = rectangle(
                radius * 0.08, radius * 0.56, radius * (1.29 + 0.08 * step)
            )
            brush.blend(rotate(piece, angle), road, 0.9 - 0.11 * step)
    brush.fill(_round_outline(obj), road)
    brush.line(arc(radius * 0.95, points=40), road * 1.5, pen, closed=True)
    for start in range(0, 360, 30):
        brush.line(arc(radius * 0.76, start, start + 15, points=5), _WHITE, pen * 0.8)
    brush.fill(arc(radius * 0.56, points=40), (206, 204, 196))
    brush.fill(arc(radius * 0.5, points=40), _tone(obj, _LAWN))
    center = ((58, 104, 50), (196, 182, 150), (70, 128, 60), (120, 160, 84))
    brush.fill(arc(radius * 0.22), center[obj.style.get('variant', 0)])


def _pool_outline(obj):
    size, variant = obj.size, obj.style.get('variant', 0)
    width = size * (0.55 + 0.08 * obj.style.get('aspect', 0.0))
    if variant == 0:
        return rectangle(size, width)
    if variant == 1:
        return stadium(size, width)
    if variant == 2:
        return arc(size / 2, points=40)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    dent = 1 - 0.34 * np.exp(-(((angles - np.pi / 2) / 0.5) ** 2))
    return np.stack(
        [np.cos(angles) * size / 2, np.sin(angles) * size * 0.36 * dent], axis=1
    )


def _draw_pool(brush, obj, light):
    outline = _pool_outline(obj)
    water = _tone(obj, (54, 168, 212))
    grow = 1 + 0.22 * np.array([1, obj.size / np.ptp(outline[:, 1])]) * 0.8
    brush.fill(outline * grow, (206, 198, 184))
    brush.fill(outline, (238, 242, 242))
    brush.fill(outline * 0.91, water)
    brush.fill(outline * 0.62, water * (0.82, 0.9, 0.96))
    if obj.style.get('variant', 0) == 0:
        length, width = np.ptp(outline, axis=0)
        for lane in (-0.25, 0, 0.25):
            brush.line(
                [(-length * 0.44, lane * width), (length * 0.44, lane * width)],
                water * 1.3,
                max(obj.size * 0.012, 0.3),
            )


def _draw_tank(brush, obj, light):
    radius = obj.size / 2
    color = _tone(obj, _PAINT[obj.color])
    offset = rotate([(radius * 0.36, 0)], light - obj.angle)
    for step in (0.5, 1.0):
        brush.shade(_round_outline(obj) + offset * step, 0.72)
    brush.fill(_round_outline(obj), color * 0.78)
    brush.fill(arc(radius * 0.93, points=40), color)
    side = rotate(arc(radius * 0.9, -80, 80, points=20), light - obj.angle)
    brush.fill(side, color * 0.9)
    pen = max(radius * 0.035, 0.3)
    variant = obj.style.get('variant', 0)
    if variant in (0, 1):
        brush.line(arc(radius * 0.6, points=32), color * 0.74, pen, closed=True)
    if variant in (1, 2):
        for angle in range(0, 180, 45):
            brush.line(
                rotate([(-radius * 0.88, 0), (radius * 0.88, 0)], angle),
                color * 0.8,
                pen * 0.7,
            )
    brush.fill(arc(radius * 0.13, points=12), color * 0.66)
    brush.line([(radius * 0.2, 0), (radius * 0.95, 0)], color * 0.6, pen)


_OUTLINES = {
    'baseball field': _baseball_outline,
    'basketball field': _court_outline,
    'ground track field': _track_outline,
    'roundabout': _round_outline,
    'swimming pool': _pool_outline,
    'storage tank': _round_outline,
    'tennis court': _court_outline,
}
_PAINTERS = {
    'baseball field': _draw_baseball,
    'basketball field': _draw_basketball,
    'ground track field': _draw_track,
    'roundabout': _draw_roundabout,
    'swimming pool': _draw_pool,
    'storage tank': _draw_tank,
    'tennis court': _draw_tennis,
}
