# SPDX-License-Identifier: Apache-2.0
"""Measures of a mask against its box, which tell what may be wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np

# A hole is tiny if it is at most this share of the object with its holes filled.
TINY_HOLE = 0.01


@dataclass(frozen=True)
class MaskMeasures:
    """What can be measured of a mask without knowing the truth.

    Attributes:
        area: Pixels of the mask.
        predicted_iou: What SAM expects; None for masks that a person drew.
        box_iou: IoU of the mask's bounding box with the box; 0 if empty.
        outside_share: Share of the mask's pixels whose centre is outside of the
            box; 0 if empty.
        area_ratio: Pixels of the mask by the area of the box.
        edge_contact: Share of the outermost pixels of the box that belong to the
            mask. Sides on the edge of the image don't count: what is cut off
            there always touches them.
        components: Parts of the mask (pixels with a common corner hang together).
        stray_share: Share of the mask that is not in its largest part.
        holes: Holes in the mask (pixels with a common side hang together).
        tiny_holes: Those of at most 1 % of the mask with its holes filled.
    """

    area: int
    predicted_iou: float | None
    box_iou: float
    outside_share: float
    area_ratio: float
    edge_contact: float
    components: int
    stray_share: float
    holes: int
    tiny_holes: int


def measure_mask(
    mask: np.ndarray, box: Sequence[float], predicted_iou: float | None = None
) -> MaskMeasures:
    """Measures a mask.

    Args:
        mask: Boolean (H, W).
        box: Left, top, right, bottom in pixels, within the image.
        predicted_iou: What SAM expects.

    Returns:
        The measures.
    """
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    area = int(np.count_nonzero(mask))
    box_area = (box[2] - box[0]) * (box[3] - box[1])
    # Everything but the box's edge only concerns where the mask is.
    left, top, width, height = cv2.boundingRect(mask)
    part = mask[top : top + height, left : left + width]
    components, stray_share = _parts(part)
    holes, tiny_holes = _holes(part)
    return MaskMeasures(
        area=area,
        predicted_iou=predicted_iou,
        box_iou=_box_iou((left, top, left + width, top + height), box),
        outside_share=_outside_share(mask, box, area),
        area_ratio=area / box_area,
        edge_contact=_edge_contact(mask, box),
        components=components,
        stray_share=stray_share,
        holes=holes,
        tiny_holes=tiny_holes,
    )


def _box_iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def _pixels(box):
    """First and one past the last column and row with centres in a box."""
    left, top, right, bottom = box
    columns = ceil(left - 0.5), floor(right - 0.5) + 1
    rows = ceil(top - 0.5), floor(bottom - 0.5) + 1
    return columns, rows


def _outside_share(mask, box, area):
    (left, right), (top, bottom) = _pixels(box)
    inside = np.count_nonzero(mask[top:bottom, left:right])
    return 1 - inside / area if area else 0.0


def _edge_contact(mask, box):
    (left, right), (top, bottom) = _pixels(box)
    height, width = mask.shape
    inner = mask[top:bottom, left:right]
    if not inner.size:
        return 0.0
    edge = np.zeros(inner.shape, bool)
    edge[0] |= top > 0
    edge[-1] |= bottom < height
    edge[:, 0] |= left > 0
    edge[:, -1] |= right < width
    return float(inner[edge].mean()) if edge.any() else 0.0


def _parts(mask):
    """Number of parts, and the share of all but the largest."""
    if not mask.size:
        return 0, 0.0
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return count - 1, float(1 - areas.max() / areas.sum())


def _holes(mask):
    """Number of holes, and of tiny ones."""
    if not mask.size:
        return 0, 0
    background = np.pad(1 - mask, 1, constant_values=1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4)
    # Neither the mask itself nor the background around it.
    areas = np.delete(stats[:, cv2.CC_STAT_AREA], [0, labels[0, 0]])
    filled = np.count_nonzero(mask) + areas.sum()
    return len(areas), int(np.count_nonzero(areas <= TINY_HOLE * filled))
