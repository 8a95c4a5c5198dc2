# SPDX-License-Identifier: Apache-2.0
"""Anti-aliased drawing of small shapes at float pixel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

Color = Sequence[float] | np.ndarray

_SHIFT = 4  # fractional bits that OpenCV's drawing functions get


def rectangle(
    length: float, width: float, x: float = 0.0, y: float = 0.0
) -> np.ndarray:
    """Corners of a rectangle centred on ``(x, y)``, shape ``(4, 2)``."""
    a, b = length / 2, width / 2
    return np.array([[x - a, y - b], [x + a, y - b], [x + a, y + b], [x - a, y + b]])


def arc(
    radius: float,
    start: float = 0.0,
    stop: float = 360.0,
    x: float = 0.0,
    y: float = 0.0,
    points: int = 32,
) -> np.ndarray:
    """Points on an arc, angles in degrees, shape ``(points, 2)``."""
    return _unit_arc(start, stop, points) * radius + (x, y)


@lru_cache(maxsize=256)
def _unit_arc(start: float, stop: float, points: int) -> np.ndarray:
    closed = abs(stop - start) >= 360
    angles = np.radians(np.linspace(start, stop, points, endpoint=not closed))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def stadium(length: float, width: float, points: int = 14) -> np.ndarray:
    """Outline of a rectangle with round ends, shape ``(2 * points, 2)``."""
    radius = width / 2
    offset = max(length / 2 - radius, 0.0)
    right = arc(radius, -90, 90, x=offset, points=points)
    left = arc(radius, 90, 270, x=-offset, points=points)
    return np.concatenate([right, left])


def rotate(points: ArrayLike, degrees: float) -> np.ndarray:
    """Rotates points ``(N, 2)`` about the origin (clockwise as displayed)."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.asarray(points, float) @ np.array([[cos, sin], [-sin, cos]])


class Brush:
    """Draws on a supersampled copy of one part of an image.

    The part is enlarged without interpolation, drawn on, and averaged back by
    :meth:`commit`: shapes get smooth edges, and pixels that no shape touches
    keep their values. Only the part is copied, so that drawing on a very
    large canvas is cheap.

    Args:
        canvas: Image ``(H, W, 3)``, uint8 RGB; changed in place.
        center: Origin of the drawing coordinates in pixels ``(x, y)``; pixel
            ``i`` covers ``[i, i + 1)``.
        radius: Half side, in pixels, of the square that is drawn on.
        angle: Rotation of the drawing coordinates in degrees.
        supersample: Enlargement factor; by default 4 for small parts and 2 for
            big ones.
    """

    def __init__(
        self,
        canvas: np.ndarray,
        center: Sequence[float] | np.ndarray,
        radius: float,
        angle: float = 0.0,
        supersample: int | None = None,
    ) -> None:
        size = canvas.shape[1::-1]
        x0, y0 = np.clip(np.floor(np.subtract(center, radius)), 0, size).astype(int)
        x1, y1 = np.clip(np.ceil(np.add(center, radius)), 0, size).astype(int)
        self.empty = x1 <= x0 or y1 <= y0
        if supersample is None:
            supersample = 4 if radius < 48 else 3 if radius < 128 else 2
        self.scale = supersample
        self.target = canvas[y0:y1, x0:x1]
        self.center = np.array([center[0] - x0, center[1] - y0])
        self.angle = angle
        if not self.empty:
            self.part = cv2.resize(
                self.target,
                None,
                fx=supersample,
                fy=supersample,
                interpolation=cv2.INTER_NEAREST,
            )

    def _fixed(self, points: ArrayLike) -> np.ndarray:
        pixels = (rotate(points, self.angle) + self.center) * self.scale
        return np.round((pixels - 0.5) * (1 << _SHIFT)).astype(np.int32)

    def fill(self, points: ArrayLike, color: Color) -> None:
        """Fills a polygon ``(N, 2)``."""
        if not self.empty:
            corners = [self._fixed(points)]
            cv2.fillPoly(self.part, corners, _rgb(color), cv2.LINE_8, _SHIFT)

    def blend(self, points: ArrayLike, color: Color, opacity: float) -> None:
        """Fills a polygon so that what lies below shines through."""
        part, mask = self._inside(points)
        paint = np.asarray(_rgb(color)) * opacity
        part[mask] = np.round(part[mask] * (1 - opacity) + paint)

    def line(
        self, points: ArrayLike, color: Color, width: float, closed: bool = False
    ) -> None:
        """Draws a polyline ``width`` pixels wide."""
        if not self.empty:
            corners, pen = [self._fixed(points)], max(1, round(width * self.scale))
            cv2.polylines(
                self.part, corners, closed, _rgb(color), pen, cv2.LINE_8, _SHIFT
            )

    def shade(self, points: ArrayLike, factor: float) -> None:
        """Multiplies what lies inside a polygon by ``factor``."""
        part, mask = self._inside(points)
        part[mask] = np.round(part[mask] * factor)

    def _inside(self, points: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """The piece of the image around a polygon, and where it is inside."""
        if self.empty:
            return np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), bool)
        corners = self._fixed(points)
        start = np.maximum(corners.min(axis=0) >> _SHIFT, 0)
        end = np.maximum((corners.max(axis=0) >> _SHIFT) + 2, start)
        part = self.part[start[1] : end[1], start[0] : end[0]]
        mask = np.zeros(part.shape[:2], np.uint8)
        if mask.size:
            cv2.fillPoly(mask, [corners - (start << _SHIFT)], 1, cv2.LINE_8, _SHIFT)
        return part, mask.astype(bool)

    def commit(self) -> None:
        """Averages the drawing back onto the canvas."""
        if not self.empty:
            size = self.target.shape[1::-1]
            self.target[:] = cv2.resize(self.part, size, interpolation=cv2.INTER_AREA)


def _rgb(color: Color) -> tuple[float, ...]:
    return tuple(float(min(255, max(0, c))) for c in color)
