# SPDX-License-Identifier: Apache-2.0
"""What is compared, and how it is counted: as is right, or as it was published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..utils.plain_data import shorten

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""The usual X of Pr@X."""


@dataclass(frozen=True)
class Protocol:
    """A way to evaluate.

    Args:
        name: What the key ``protocol`` calls it.
        pred_key: The prediction of a data sample that is compared.
        place: Where masks are compared, in words.
        input_size: Compare at the network's input size, to which the truth is brought
            by :func:`resample_truth`.
        drops_overlap: Pixels that two parts of an annotation share are background.
        empty_iou: IoU of an expression whose prediction and truth are empty.
        ties_count: Whether Pr@X counts an IoU of exactly X.
    """

    name: str
    pred_key: str
    place: str
    input_size: bool
    drops_overlap: bool
    empty_iou: float
    ties_count: bool

    def iou(self, intersection: float, union: float) -> float:
        """Intersection over union, 0 to 1."""
        return intersection / union if union else self.empty_iou

    def hits(self, ious: np.ndarray, threshold: float) -> np.ndarray:
        """Which IoUs count for Pr@``threshold``, bool in their shape."""
        return ious >= threshold if self.ties_count else ious > threshold


EXACT = Protocol(
    name='exact',
    pred_key='pred_sem_seg',
    place='the original resolution',
    input_size=False,
    drops_overlap=False,
    empty_iou=1.0,
    ties_count=False,
)
"""Masks at the image's own size, Eqs. (14) and (15) of the CADFormer paper."""
RELEASED = Protocol(
    name='released',
    pred_key='pred_input_seg',
    place="the network's input size, as the released test scripts do",
    input_size=True,
    drops_overlap=True,
    empty_iou=0.0,
    ties_count=True,
)
"""RMSIN's test script, which those of LAVT and FIANet resemble (docs/evaluation.md)."""
PROTOCOLS = {protocol.name: protocol for protocol in (EXACT, RELEASED)}


def find_protocol(name: object) -> Protocol:
    """A protocol by its name; ValueError for an unknown one."""
    if not isinstance(name, str) or name not in PROTOCOLS:
        raise ValueError(f'protocol must be one of {[*PROTOCOLS]}, got {shorten(name)}')
    return PROTOCOLS[name]


def resample_truth(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask (H, W), uint8, at another size, by Pillow's nearest neighbour.

    Pillow adds up the step between rows in floating point, so that at many ratios it
    takes another row or column than the one whose centre is nearest.
    """
    if mask.shape == (height, width):
        return mask
    image = Image.fromarray(np.ascontiguousarray(mask))
    return np.asarray(image.resize((width, height), Image.Resampling.NEAREST))


def summarize(
    intersections: Sequence[float],
    unions: Sequence[float],
    thresholds: Sequence[float] = THRESHOLDS,
    protocol: Protocol = EXACT,
) -> dict[str, float]:
    """mIoU, oIoU and Pr@X of some expressions, in percent.

    Args:
        intersections, unions: Pixels, for each expression.
        thresholds: The X of Pr@X.
        protocol: What an empty union and an IoU of exactly X count.
    """
    ious = list(map(protocol.iou, intersections, unions))
    union = sum(unions)
    empty = 100 * protocol.empty_iou
    metrics = dict(
        mIoU=100 * sum(ious) / len(ious),  # Eq. (14)
        oIoU=100 * sum(intersections) / union if union else empty,  # Eq. (15)
    )
    for threshold in thresholds:
        hits = int(protocol.hits(np.array(ious), threshold).sum())
        metrics[f'Pr@{threshold:g}'] = 100 * hits / len(ious)
    return metrics
