# SPDX-License-Identifier: Apache-2.0
"""Outlines of masks as polygons along the edges of pixels."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Outline(NamedTuple):
    """One closed outline."""

    corners: np.ndarray  # int32 (N, 2) as x, y, on the grid between the pixels
    is_hole: bool  # rather than a part


def trace_outlines(mask: np.ndarray) -> list[Outline]:
    """Outlines of the parts and holes of a boolean mask (H, W).

    Filling the parts and taking out the holes gives the same mask again. The
    contours that OpenCV finds don't: they run through the centres of the
    outermost pixels. At twice the size, a contour has a point of its own for
    either side of a pixel, which says where the pixel's corners are.
    """
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    part = mask[top : top + height, left : left + width]
    double = np.pad(part.repeat(2, axis=0).repeat(2, axis=1), 1)
    contours, tree = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [
        Outline(_without_idle_points(contour[:, 0] // 2) + (left, top), links[3] >= 0)
        for contour, links in zip(contours, tree[0] if contours else (), strict=True)
    ]


def _without_idle_points(corners: np.ndarray) -> np.ndarray:
    """Drops points that repeat the one before or lie on a straight line."""
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    before = corners - np.roll(corners, 1, axis=0)
    after = np.roll(corners, -1, axis=0) - corners
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return corners[turns]
