# SPDX-License-Identifier: Apache-2.0
"""Ground, roads and clutter of the SynthRS scenes."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike

from .brush import Brush, Color, arc, rectangle, rotate

_GRID = 160  # side of the map of taken ground
_GAP = 4  # cells of it that are kept free between things


class _Soil(NamedTuple):
    """Two colours that low-frequency noise mixes, and the strength of the grain."""

    low: Color
    high: Color
    roughness: float


_SOILS = (
    _Soil((78, 106, 56), (118, 136, 78), 0.7),  # grass
    _Soil((140, 132, 84), (172, 158, 108), 0.8),  # dry grass
    _Soil((142, 112, 82), (178, 148, 114), 0.7),  # earth
    _Soil((190, 172, 138), (214, 198, 164), 0.5),  # sand
    _Soil((92, 92, 94), (126, 124, 122), 0.35),  # asphalt
    _Soil((150, 148, 142), (180, 176, 168), 0.35),  # concrete
    _Soil((40, 66, 38), (70, 96, 52), 1.3),  # forest
)
_ROOFS = (
    *((156, 84, 62), (120, 72, 60), (104, 104, 110)),
    *((172, 166, 158), (84, 78, 80), (190, 150, 120)),
)
_CARS = ((220, 220, 222), (40, 42, 46), (150, 40, 36), (44, 66, 120), (130, 132, 134))


class Ground:
    """Ground, maybe with a road, that knows where something stands."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        self.image = _bare_ground(rng, size)  # (size, size, 3), uint8 RGB
        self.light = float(rng.uniform(0, 360))  # where shadows fall, in degrees
        self._taken = np.zeros((_GRID, _GRID), np.uint8)
        self._road: np.ndarray | None = None
        self._road_width = 0.0
        if rng.random() < 0.45:
            self._road_width = size * rng.uniform(0.04, 0.07)
            self._road = self._draw_road(self._road_width)

    def is_free(self, points: ArrayLike) -> bool:
        """Whether a polygon ``(N, 2)`` in pixels lies on free ground."""
        points = np.asarray(points) * (_GRID / self.size)
        low = np.floor(points.min(axis=0)).astype(int) - 1
        high = np.ceil(points.max(axis=0)).astype(int) + 2
        if low.min() < 0 or high.max() > _GRID:
            return False
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(mask, [np.round(points - low).astype(np.int32)], 1)
        return not (self._taken[low[1] : high[1], low[0] : high[0]] & mask).any()

    def take(self, points: ArrayLike) -> None:
        """Marks a polygon and a margin around it as taken."""
        corners = np.round(np.asarray(points) * (_GRID / self.size)).astype(np.int32)
        cv2.fillPoly(self._taken, [corners], 1)
        cv2.polylines(self._taken, [corners], True, 1, 2 * _GAP)

    def _draw_road(self, width: float) -> np.ndarray:
        """Draws a road through the image; returns its centre line ``(N, 2)``."""
        rng, middle = self.rng, np.full(2, self.size / 2)
        angle = rng.uniform(0, 360)
        bend, shift = rng.uniform(-0.12, 0.12), rng.uniform(-0.42, 0.42)
        t = np.linspace(-0.8, 0.8, 24)
        local = np.stack([t, shift + bend * np.sin(2.2 * t)], axis=1) * self.size
        brush = Brush(self.image, middle, self.size, angle, supersample=2)
        gray = rng.uniform(88, 128)
        brush.line(local, (gray + 40, gray + 38, gray + 30), width * 1.2)
        brush.line(local, (gray, gray, gray + 3), width)
        pen = max(width * 0.07, 0.5)
        for start in range(0, 23, 2):
            brush.line(local[start : start + 2], (226, 222, 200), pen)
        brush.commit()
        line = rotate(local, angle) + middle
        scale = _GRID / self.size
        points, pen = np.round(line * scale).astype(np.int32), int(width * 1.5 * scale)
        cv2.polylines(self._taken, [points], False, 1, max(1, pen))
        return line

    def draw_clutter(self, least: int, most: int) -> None:
        """Draws houses and trees on free ground, and cars on the road."""
        rng, size = self.rng, self.size
        angle = float(rng.uniform(0, 360))
        grove = rng.uniform(0.1 * size, 0.9 * size, 2)
        for _ in range(rng.integers(least, most + 1)):
            center = rng.uniform(0.02 * size, 0.98 * size, 2)
            house = rng.random() < 0.35
            if not house and rng.random() < 0.5:
                center = grove + rng.normal(0, 0.07 * size, 2)
            if house:
                length = size * rng.uniform(0.05, 0.1)
                turn = angle + 90 * rng.integers(2)
                outline = rotate(rectangle(length * 1.3, length * 1.3), turn)
                if self.is_free(outline + center):
                    self._draw_house(center, length, turn)
                    self.take(outline + center)
            else:
                radius = size * rng.uniform(0.012, 0.028)
                if self.is_free(rectangle(radius * 3, radius * 3) + center):
                    self._draw_tree(center, radius)
        if self._road is not None:
            for _ in range(rng.integers(0, 5)):
                self._draw_car(self._road, self._road_width)

    def _draw_house(self, center: np.ndarray, size: float, angle: float) -> None:
        """Draws a house with a ridged roof and its shadow."""
        brush = Brush(self.image, center, size * 1.2, angle)
        width = size * self.rng.uniform(0.55, 0.9)
        body = rectangle(size, width)
        brush.shade(body + rotate([(size * 0.2, 0)], self.light - angle), 0.55)
        color = _ROOFS[self.rng.integers(len(_ROOFS))]
        roof = np.array(color) * self.rng.uniform(0.85, 1.1)
        brush.fill(body, roof)
        brush.fill(rectangle(size, width / 2, y=width / 4), roof * 0.78)
        brush.line([(-size / 2, 0), (size / 2, 0)], roof * 1.15, max(size * 0.04, 0.4))
        brush.commit()

    def _draw_tree(self, center: np.ndarray, radius: float) -> None:
        """Draws a tree crown and its shadow."""
        brush = Brush(self.image, center, radius * 2)
        green = np.array((52, 88, 44)) * self.rng.uniform(0.75, 1.2)
        crown = arc(radius, points=14) * self.rng.uniform(0.85, 1.1, (14, 1))
        brush.shade(crown + rotate([(radius * 0.5, 0)], self.light), 0.6)
        brush.fill(crown, green)
        glow = rotate([(-radius * 0.25, 0)], self.light)
        brush.fill(crown * 0.6 + glow, green * 1.22)
        brush.commit()

    def _draw_car(self, road: np.ndarray, road_width: float) -> None:
        """Draws a car on one side of the road."""
        index = self.rng.integers(0, len(road) - 1)
        step = road[index + 1] - road[index]
        side = np.array([-step[1], step[0]]) / np.hypot(*step)
        center = road[index] + side * road_width * 0.22 * self.rng.choice([-1, 1])
        length, angle = road_width * 0.6, np.degrees(np.arctan2(step[1], step[0]))
        brush = Brush(self.image, center, length, angle)
        color = np.array(_CARS[self.rng.integers(len(_CARS))])
        brush.fill(rectangle(length, length * 0.46), color)
        brush.fill(rectangle(length * 0.42, length * 0.36), color * 0.6 + 10)
        brush.commit()

    def photograph(self) -> np.ndarray:
        """The image with lighting, haze and sensor noise."""
        rng, result = self.rng, self.image.astype(np.float32)
        tint = rng.uniform(0.97, 1.03, 3).astype(np.float32)
        result *= tint * np.float32(rng.uniform(0.86, 1.1))
        result *= (0.94 + 0.12 * _noise(rng, self.size, 1, octaves=1))[..., None]
        noise = rng.standard_normal((self.size, self.size), dtype=np.float32)
        result += (noise * np.float32(rng.uniform(2, 5)))[..., None]
        return np.clip(result, 0, 255).astype(np.uint8)


def _bare_ground(rng: np.random.Generator, size: int) -> np.ndarray:
    base, other = rng.choice(len(_SOILS), 2, replace=False)
    image = _textured(rng, _SOILS[base], size)
    if rng.random() < 0.6:
        patch = _noise(rng, size, 2)
        edge = np.clip((patch - rng.uniform(0.5, 0.7)) * 14, 0, 1)
        second = _textured(rng, _SOILS[other], size)
        image += (second - image) * edge[..., None]
    if rng.random() < 0.35:
        image += _furrows(rng, size)
    if rng.random() < 0.2:
        edge = np.clip((_noise(rng, size, 2) - 0.8) * 20, 0, 1)
        image += (np.array((44, 70, 84), np.float32) - image) * edge[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def _textured(rng: np.random.Generator, soil: _Soil, size: int) -> np.ndarray:
    amount = _noise(rng, size, 3, octaves=4)
    low, high = (np.array(color, np.float32) for color in (soil.low, soil.high))
    image = low + (high - low) * amount[..., None]
    for share, strength in ((1 / 12, 7), (1 / 3, 9)):  # tufts and grain
        side = max(2, int(size * share))
        grain = rng.standard_normal((side, side), dtype=np.float32)
        resized = cv2.resize(grain, (size, size))
        image += (strength * soil.roughness * resized)[..., None]
    return image


def _noise(
    rng: np.random.Generator, size: int, cells: int, octaves: int = 3
) -> np.ndarray:
    """Sum of upsampled random grids in [0, 1], shape ``(size, size)``."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        side = cells * 2**octave + 2
        grid = rng.random((side, side), dtype=np.float32)
        total += 0.5**octave * cv2.resize(
            grid, (size, size), interpolation=cv2.INTER_CUBIC
        )
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _furrows(rng: np.random.Generator, size: int) -> np.ndarray:
    """The stripes of a field on one side of the image, ``(size, size, 1)``."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    limit = np.float32(rng.uniform(-0.2, 0.6))
    stripes = 9 * np.sin(across * np.float32(rng.uniform(90, 160)))
    return (stripes * (along > limit))[..., None]
