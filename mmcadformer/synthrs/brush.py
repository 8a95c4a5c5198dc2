# SPDX-License-Identifier: Apache-2.0
"""Anti-aliased drawing of small shapes at float pixel coordinates."""

from functools import lru_cache

import cv2
import numpy as np

_SHIFT = 4  # fractional bits that OpenCV's drawing functions get


def rectangle(length, width, x=0.0, y=0.0):
    """Corners of a rectangle centred on ``(x, y)``, shape ``(4, 2)``."""
    a, b = length / 2, width / 2
    return np.array([[x - a, y - b], [x + a, y - b], [x + a, y + b], [x - a, y + b]])


def arc(radius, start=0.0, stop=360.0, x=0.0, y=0.0, points=32):
    """Points on an arc, angles in degrees, shape ``(points, 2)``."""
    return _unit_arc(start, stop, points) * radius + (x, y)


@lru_cache(maxsize=256)
def _unit_arc(start, stop, points):
    closed = abs(stop - start) >= 360
    angles = np.radians(np.linspace(start, stop, points, endpoint=not closed))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def stadium(length, width, points=14):
    """Outline of a rectangle with round ends, shape ``(2 * points, 2)``."""
    radius = width / 2
    offset = max(length / 2 - radius, 0.0)
    right = arc(radius, -90, 90, x=offset, points=points)
    left = arc(radius, 90, 270, x=-offset, points=points)
    return np.concatenate([right, left])


def rotate(points, degrees):
    """Rotate points ``(N, 2)`` about the origin (clockwise as displayed)."""
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
        canvas (np.ndarray): Image ``(H, W, 3)``, uint8 RGB; changed in place.
        center (tuple[float, float]): Origin of the drawing coordinates in
            pixels ``(x, y)``; pixel ``i`` covers ``[i, i + 1)``.
        radius (float): Half side, in pixels, of the square that is drawn on.
        angle (float): Rotation of the drawing coordinates in degrees.
        supersample (int): Enlargement factor; by default 4 for small parts
            and 2 for big ones.
    """

    def __init__(self, canvas, center, radius, angle=0.0, supersample=None):
        height, width = canvas.shape[:2]
        x, y = center
        self.x0 = int(np.clip(np.floor(x - radius), 0, width))
        self.y0 = int(np.clip(np.floor(y - radius), 0, height))
        self.x1 = int(np.clip(np.ceil(x + radius), 0, width))
        self.y1 = int(np.clip(np.ceil(y + radius), 0, height))
        self.empty = self.x1 <= self.x0 or self.y1 <= self.y0
        if supersample is None:
            supersample = 4 if radius < 48 else 3 if radius < 128 else 2
        self.scale = supersample
        self.canvas = canvas
        self.center = np.array([x - self.x0, y - self.y0])
        self.angle = angle
        if not self.empty:
            part = canvas[self.y0 : self.y1, self.x0 : self.x1]
            self.part = cv2.resize(
                part,
                None,
                fx=supersample,
                fy=supersample,
                interpolation=cv2.INTER_NEAREST,
            )

    def _fixed(self, points):
        points = rotate(points, self.angle) + self.center
        points = (points * self.scale - 0.5) * (1 << _SHIFT)
        return np.round(points).astype(np.int32)

    def fill(self, points, color):
        """Fill a polygon ``(N, 2)``."""
        if not self.empty:
            cv2.fillPoly(
                self.part, [self._fixed(points)], _rgb(color), cv2.LINE_8, _SHIFT
            )

    def blend(self, points, color, opacity):
        """Fill a polygon so that what lies below shines through."""
        part, mask = self._inside(points)
        paint = np.asarray(_rgb(color)) * opacity
        part[mask] = np.round(part[mask] * (1 - opacity) + paint)

    def line(self, points, color, width, closed=False):
        """Draw a polyline ``width`` pixels wide."""
        if not self.empty:
            thickness = max(1, int(round(width * self.scale)))
            cv2.polylines(
                self.part,
                [self._fixed(points)],
                closed,
                _rgb(color),
                thickness,
                cv2.LINE_8,
                _SHIFT,
            )

    def shade(self, points, factor):
        """Multiply what lies inside a polygon by ``factor``."""
        part, mask = self._inside(points)
        part[mask] = np.round(part[mask] * factor)

    def _inside(self, points):
        """The piece of the image around a polygon, and where it is inside."""
        if self.empty:
            return np.zeros((0, 0, 3), np.uint8), np.zeros((0, 0), bool)
        points = self._fixed(points)
        corner = np.maximum(points.min(axis=0) >> _SHIFT, 0)
        end = np.maximum((points.max(axis=0) >> _SHIFT) + 2, corner)
        part = self.part[corner[1] : end[1], corner[0] : end[0]]
        mask = np.zeros(part.shape[:2], np.uint8)
        if mask.size:
            cv2.fillPoly(mask, [points - (corner << _SHIFT)], 1, cv2.LINE_8, _SHIFT)
        return part, mask.astype(bool)

    def commit(self):
        """Average the drawing back onto the canvas."""
        if not self.empty:
            size = (self.x1 - self.x0, self.y1 - self.y0)
            self.canvas[self.y0 : self.y1, self.x0 : self.x1] = cv2.resize(
                self.part, size, interpolation=cv2.INTER_AREA
            )


def _rgb(color):
    return tuple(float(min(255, max(0, c))) for c in color)
