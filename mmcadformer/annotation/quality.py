# SPDX-License-Identifier: Apache-2.0
"""What may be wrong with a mask: measures, flags, and a score of suspicion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

import cv2
import numpy as np

from ..utils.files import read_json

# A hole is tiny if it is at most this share of the object with its holes filled.
TINY_HOLE = 0.01


@dataclass(frozen=True)
class MaskMeasures:
    """What can be measured of a mask without knowing the truth.

    Shares are 0 for empty masks. Sides on the edge of the image have no
    ``edge_contact``: what is cut off there always touches them.
    """

    area: int  # in pixels
    predicted_iou: float | None  # what SAM expects; None for masks that a person drew
    box_iou: float  # IoU of the mask's bounding box with the box
    outside_share: float  # of the mask's pixels, those with centres outside of the box
    area_ratio: float  # pixels of the mask by the area of the box
    edge_contact: float  # of the outermost pixels of the box, those of the mask
    components: int  # pixels with a common corner hang together
    stray_share: float  # of the mask, what is not in its largest part
    holes: int  # pixels with a common side hang together
    tiny_holes: int  # of at most 1 % of the mask with its holes filled


NOTHING = MaskMeasures(0, None, 1.0, 0.0, 0.0, 0.0, 0, 0.0, 0, 0)
"""Of a sentence that means nothing, which has no mask and no box."""


def measure_mask(
    mask: np.ndarray, box: Sequence[float], predicted_iou: float | None = None
) -> MaskMeasures:
    """Measures a mask (H, W); the box is left, top, right, bottom within the image."""
    mask = np.ascontiguousarray(mask, dtype=np.uint8)
    area = int(np.count_nonzero(mask))
    box_area = (box[2] - box[0]) * (box[3] - box[1])
    # Everything but the box's edge only concerns where the mask is.
    left, top, width, height = cv2.boundingRect(mask)
    part = mask[top : top + height, left : left + width]
    components, stray_share = _parts(part) if area else (0, 0.0)
    holes, tiny_holes = _holes(part) if area else (0, 0)
    outside_share, edge_contact = _place_in_box(mask, box)
    return MaskMeasures(
        area=area,
        predicted_iou=predicted_iou,
        box_iou=_box_iou((left, top, left + width, top + height), box),
        outside_share=outside_share,
        area_ratio=area / box_area,
        edge_contact=edge_contact,
        components=components,
        stray_share=stray_share,
        holes=holes,
        tiny_holes=tiny_holes,
    )


def _box_iou(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def _place_in_box(mask: np.ndarray, box: Sequence[float]) -> tuple[float, float]:
    """The measures ``outside_share`` and ``edge_contact``."""
    left, top, right, bottom = box
    # First and one past the last column and row with centres in the box.
    left, right = ceil(left - 0.5), floor(right - 0.5) + 1
    top, bottom = ceil(top - 0.5), floor(bottom - 0.5) + 1
    height, width = mask.shape
    inner, area = mask[top:bottom, left:right], np.count_nonzero(mask)
    outside = 1 - np.count_nonzero(inner) / area if area else 0.0
    if not inner.size:
        return outside, 0.0
    edge = np.zeros(inner.shape, bool)
    edge[0] |= top > 0
    edge[-1] |= bottom < height
    edge[:, 0] |= left > 0
    edge[:, -1] |= right < width
    return outside, float(inner[edge].mean()) if edge.any() else 0.0


def _parts(mask: np.ndarray) -> tuple[int, float]:
    """Number of parts, and the share of all but the largest."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return count - 1, float(1 - areas.max() / areas.sum())


def _holes(mask: np.ndarray) -> tuple[int, int]:
    """Number of holes, and of tiny ones."""
    background = np.pad(1 - mask, 1, constant_values=1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4)
    # Neither the mask itself nor the background around it.
    areas = np.delete(stats[:, cv2.CC_STAT_AREA], [0, labels[0, 0]])
    filled = np.count_nonzero(mask) + areas.sum()
    return len(areas), int(np.count_nonzero(areas <= TINY_HOLE * filled))


@dataclass(frozen=True)
class Rule:
    """When a measure is suspicious, and how much that counts."""

    measure: str  # an attribute of MaskMeasures
    fine: float  # up to here nothing is wrong
    bad: float  # from here on it can't get worse; below `fine` where high is good
    weight: float  # score of a mask with nothing else wrong and this at its worst
    text: str  # what the flag means, for people

    def __post_init__(self) -> None:
        if self.measure not in MaskMeasures.__dataclass_fields__:
            raise ValueError(f'unknown measure {self.measure!r}')
        if self.fine == self.bad:
            raise ValueError(f'fine and bad must differ, both are {self.fine}')
        if not 0 <= self.weight <= 1:
            raise ValueError(f'weight must be in 0...1, got {self.weight}')

    def severity(self, measures: MaskMeasures) -> float:
        """0 where nothing is wrong, 1 at the worst, linear in between."""
        value = getattr(measures, self.measure)
        if value is None:
            return 0.0
        return min(max((value - self.fine) / (self.bad - self.fine), 0.0), 1.0)


RULES: dict[str, Rule] = {
    'unsure': Rule('predicted_iou', 0.88, 0.6, 0.6, 'SAM itself expects a poor mask'),
    'off_box': Rule('box_iou', 0.8, 0.4, 0.8, 'mask and box span different areas'),
    'outside': Rule('outside_share', 0.02, 0.3, 0.8, 'the mask runs out of the box'),
    'fills_edge': Rule('edge_contact', 0.6, 1.0, 0.3, 'the mask fills the box edge'),
    'thin': Rule('area_ratio', 0.3, 0.05, 0.5, 'the mask fills little of the box'),
    'parts': Rule('stray_share', 0.0, 0.2, 0.5, 'the mask has several parts'),
    'tiny_holes': Rule('tiny_holes', 0.0, 8.0, 0.4, 'the mask has tiny holes'),
}
EMPTY = 'empty'


@dataclass(frozen=True)
class Suspicion:
    """What is suspicious about a mask."""

    score: float  # 0 (nothing) ... 1 (surely wrong)
    flags: dict[str, float]  # severity in 0...1 of what is wrong, the worst first


def rate(measures: MaskMeasures, rules: Mapping[str, Rule] = RULES) -> Suspicion:
    """Rates a mask by rules, each under the name of its flag.

    The score is ``1 - prod(1 - weight * severity)`` over all rules: as if each
    were independent evidence. It never falls when a further thing is wrong. An
    empty mask scores 1.
    """
    if not measures.area:
        return Suspicion(1.0, {EMPTY: 1.0})
    fine, weighted = 1.0, []
    for name, rule in rules.items():
        severity = rule.severity(measures)
        fine *= 1 - rule.weight * severity
        if severity > 0:
            weighted.append((rule.weight * severity, name, severity))
    flags = {name: severity for _, name, severity in sorted(weighted, reverse=True)}
    return Suspicion(1 - fine, flags)


def read_rules(path: Path) -> dict[str, Rule]:
    """The standard rules with changes from a JSON file.

    The file maps names of flags to the attributes to change, or to null for a
    flag that isn't wanted: ``{"thin": null, "off_box": {"fine": 0.7}}``.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected an object of flags')
    rules = dict(RULES)
    for name, changes in content.items():
        if name not in rules:
            raise ValueError(
                f'{path}: unknown flag {name!r}; known: {", ".join(RULES)}'
            )
        if changes is None:
            del rules[name]
            continue
        try:
            rules[name] = Rule(**{**vars(rules[name]), **changes})
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {name}: {str(error)[:200]}') from None
    return rules
