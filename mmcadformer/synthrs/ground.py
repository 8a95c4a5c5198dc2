# SPDX-License-Identifier: Apache-2.0
"""Ground, roads and clutter of the SynthRS scenes."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .brush import Brush, Color, arc, rectangle, rotate


class _Ground(NamedTuple):
    """Two colours that low-frequency noise mixes, and the strength of the grain."""

    low: Color
    high: Color
    roughness: float


_GROUNDS = (
    _Ground((78, 106, 56), (118, 136, 78), 0.7),  # grass
    _Ground((140, 132, 84), (172, 158, 108), 0.8),  # dry grass
    _Ground((142, 112, 82), (178, 148, 114), 0.7),  # soil
    _Ground((190, 172, 138), (214, 198, 164), 0.5),  # sand
    _Ground((92, 92, 94), (126, 124, 122), 0.35),  # asphalt
    _Ground((150, 148, 142), (180, 176, 168), 0.35),  # concrete
    _Ground((40, 66, 38), (70, 96, 52), 1.3),  # forest
)
_ROOFS = (
    (156, 84, 62),
    (120, 72, 60),
    (104, 104, 110),
    (172, 166, 158),
    (84, 78, 80),
    (190, 150, 120),
)
_CARS = ((220, 220, 222), (40, 42, 46), (150, 40, 36), (44, 66, 120), (130, 132, 134))


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, cells: int, octaves: int = 3
) -> np.ndarray:
    """Sum of upsampled random grids in [0, 1], shape ``(height, width)``."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        side = cells * 2**octave + 2
        grid = rng.random((side, side), dtype=np.float32)
        total += 0.5**octave * cv2.resize(
            grid, (width, height), interpolation=cv2.INTER_CUBIC
        )
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _textured(
    rng: np.random.Generator, ground: _Ground, height: int, width: int
) -> np.ndarray:
    amount = smooth_noise(rng, height, width, 3, octaves=4)
    low, high = (np.array(c, np.float32) for c in (ground.low, ground.high))
    image = low + (high - low) * amount[..., None]
    for share, strength in ((1 / 12, 7), (1 / 3, 9)):  # tufts and grain
        shape = max(2, int(height * share)), max(2, int(width * share))
        grain = rng.standard_normal(shape, dtype=np.float32)
        resized = cv2.resize(grain, (width, height))
        image += (strength * ground.roughness * resized)[..., None]
    return image


def make_ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draws empty ground.

    Args:
        rng: Source of randomness.
        height, width: Size in pixels.

    Returns:
        Image ``(height, width, 3)``, uint8 RGB.
    """
    base, other = rng.choice(len(_GROUNDS), 2, replace=False)
    image = _textured(rng, _GROUNDS[base], height, width)
    if rng.random() < 0.6:
        patch = smooth_noise(rng, height, width, 2)
        edge = np.clip((patch - rng.uniform(0.5, 0.7)) * 14, 0, 1)
        second = _textured(rng, _GROUNDS[other], height, width)
        image += (second - image) * edge[..., None]
    if rng.random() < 0.35:
        _plough(rng, image)
    if rng.random() < 0.2:
        pond = smooth_noise(rng, height, width, 2)
        edge = np.clip((pond - 0.8) * 20, 0, 1)
        image += (np.array((44, 70, 84), np.float32) - image) * edge[..., None]
    return np.clip(image, 0, 255).astype(np.uint8)


def _plough(rng: np.random.Generator, image: np.ndarray) -> None:
    """Lays the stripes of a field over one side of the image."""
    height, width = image.shape[:2]
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    along = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    across = y * np.float32(np.cos(angle)) - x * np.float32(np.sin(angle))
    limit = np.float32(rng.uniform(-0.2, 0.6))
    stripes = 9 * np.sin(across * np.float32(rng.uniform(90, 160)))
    image += (stripes * (along > limit))[..., None]


def draw_road(rng: np.random.Generator, canvas: np.ndarray, width: float) -> np.ndarray:
    """Draws a road through the image.

    Args:
        rng: Source of randomness.
        canvas: Image ``(H, W, 3)``, uint8 RGB; changed in place.
        width: Width of the road in pixels.

    Returns:
        Centre line ``(N, 2)`` in pixels.
    """
    size = max(canvas.shape[:2])
    middle = np.array(canvas.shape[1::-1]) / 2
    angle = rng.uniform(0, 360)
    bend, shift = rng.uniform(-0.12, 0.12), rng.uniform(-0.42, 0.42)
    t = np.linspace(-0.8, 0.8, 24)
    local = np.stack([t, shift + bend * np.sin(2.2 * t)], axis=1) * size
    brush = Brush(canvas, middle, size, angle, supersample=2)
    gray = rng.uniform(88, 128)
    brush.line(local, (gray + 40, gray + 38, gray + 30), width * 1.2)
    brush.line(local, (gray, gray, gray + 3), width)
    for start in range(0, 23, 2):
        brush.line(local[start : start + 2], (226, 222, 200), max(width * 0.07, 0.5))
    brush.commit()
    return rotate(local, angle) + middle


def draw_house(
    rng: np.random.Generator,
    canvas: np.ndarray,
    center: np.ndarray,
    size: float,
    angle: float,
    light: float,
) -> None:
    """Draws a house with a ridged roof and its shadow."""
    brush = Brush(canvas, center, size * 1.2, angle)
    width = size * rng.uniform(0.55, 0.9)
    body = rectangle(size, width)
    brush.shade(body + rotate([(size * 0.2, 0)], light - angle), 0.55)
    roof = np.array(_ROOFS[rng.integers(len(_ROOFS))]) * rng.uniform(0.85, 1.1)
    brush.fill(body, roof)
    brush.fill(rectangle(size, width / 2, y=width / 4), roof * 0.78)
    brush.line([(-size / 2, 0), (size / 2, 0)], roof * 1.15, max(size * 0.04, 0.4))
    brush.commit()


def draw_tree(
    rng: np.random.Generator,
    canvas: np.ndarray,
    center: np.ndarray,
    radius: float,
    light: float,
) -> None:
    """Draws a tree crown and its shadow."""
    brush = Brush(canvas, center, radius * 2)
    green = np.array((52, 88, 44)) * rng.uniform(0.75, 1.2)
    crown = arc(radius, points=14) * rng.uniform(0.85, 1.1, (14, 1))
    brush.shade(crown + rotate([(radius * 0.5, 0)], light), 0.6)
    brush.fill(crown, green)
    glow = rotate([(-radius * 0.25, 0)], light)
    brush.fill(crown * 0.6 + glow, green * 1.22)
    brush.commit()


def draw_car(
    rng: np.random.Generator,
    canvas: np.ndarray,
    center: np.ndarray,
    length: float,
    angle: float,
) -> None:
    """Draws a car."""
    brush = Brush(canvas, center, length, angle)
    color = np.array(_CARS[rng.integers(len(_CARS))])
    brush.fill(rectangle(length, length * 0.46), color)
    brush.fill(rectangle(length * 0.42, length * 0.36), color * 0.6 + 10)
    brush.commit()


def finish(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Puts lighting, haze and sensor noise over the whole image."""
    height, width = image.shape[:2]
    result = image.astype(np.float32)
    tint = rng.uniform(0.97, 1.03, 3).astype(np.float32)
    result *= tint * np.float32(rng.uniform(0.86, 1.1))
    slope = smooth_noise(rng, height, width, 1, octaves=1)
    result *= (0.94 + 0.12 * slope)[..., None]
    noise = rng.standard_normal((height, width), dtype=np.float32)
    result += (noise * np.float32(rng.uniform(2, 5)))[..., None]
    return np.clip(result, 0, 255).astype(np.uint8)
