# SPDX-License-Identifier: Apache-2.0
"""Crop images so that the expression stays true."""

from __future__ import annotations

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from ...language.crops import survives_cropping
from .transform import ReferringTransform, Sample, move_pixels


@TRANSFORMS.register_module()
class RandomReferringCrop(ReferringTransform):
    """Crop a window around the referred object, where the expression stays true.

    The window shows the whole object, at a random place in it. Where the expression
    might be false in it (:func:`survives_cropping`) or the object leaves no room, the
    sample stays as it is. For training pipelines, after ``LoadReferringMask`` and
    before ``Resize``, which turns windows of different sizes and shapes into objects of
    different scales.

    Changes ``img``, ``img_shape`` and the keys in ``seg_fields``.

    Args:
        prob: Probability to crop.
        scale: Least and largest part of the image's height, and of its width, that
            the window has.
        margin: Pixels of the image to leave around the object, where there are so
            many, so that its outline is seen.

    Raises:
        ValueError: A setting is out of its range.
        KeyError: There is no expression or no mask yet.
    """

    def __init__(
        self,
        prob: float = 0.5,
        scale: tuple[float, float] = (0.5, 1.0),
        margin: int = 4,
    ) -> None:
        self.require_prob(prob)
        low, high = scale
        self.require(
            0 < low <= high <= 1,
            f'scale must be (least, largest) in (0, 1], got {scale}',
        )
        self.require(margin >= 0, f'margin must not be negative, got {margin}')
        self.prob = prob
        self.scale = (low, high)
        self.margin = margin

    @cache_randomness
    def _draw(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Size and place of the window, both in parts; None for no crop."""
        if np.random.rand() >= self.prob:
            return None
        return np.random.uniform(*self.scale, size=2), np.random.rand(2)

    def _span(self, hit: np.ndarray, part: float, place: float) -> slice:
        """First and last+1 row (or column) of the window.

        Args:
            hit: (N,) bool, rows with pixels of the object.
            part: Of N, that the window should have at least.
            place: 0...1, where among the possible places.
        """
        shown = np.flatnonzero(hit)
        first = max(shown[0] - self.margin, 0)
        last = min(shown[-1] + 1 + self.margin, len(hit))
        length = max(round(len(hit) * part), last - first)
        low, high = max(last - length, 0), min(first, len(hit) - length)
        start = low + int(place * (high - low + 1))
        return slice(start, start + length)

    def transform(self, results: Sample) -> Sample:
        """Crops ``img`` and masks."""
        self.require_key(results, 'expression', 'ChooseExpression')
        self.require_key(results, 'gt_seg_map', 'LoadReferringMask')
        drawn = self._draw()
        target = results['gt_seg_map'] == 1
        if drawn is None or not target.any():
            return results
        if not survives_cropping(results['expression']):
            return results
        parts, places = drawn
        window = tuple(
            self._span(target.any(axis=1 - axis), parts[axis], places[axis])
            for axis in (0, 1)
        )
        move_pixels(results, lambda array: array[window])
        return results
