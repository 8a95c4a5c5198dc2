# SPDX-License-Identifier: Apache-2.0
"""Random box erasing."""

from __future__ import annotations

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from .transform import ReferringTransform, Sample


@TRANSFORMS.register_module()
class RandomBoxErasing(ReferringTransform):
    """Paint boxes over ``img`` at random places; the mask stays as it is.

    The augmentation of RMSIN, which erases boxes in the original image (so put
    it before ``Resize``) and draws the 20 % of the objects to erase once. Here
    every load of a sample draws anew, and images need not be square.

    Args:
        prob: Probability to erase anything.
        num_boxes: Least and most boxes.
        box_size: Side of a box in pixels; boxes lie inside the image, and are cut
            where it is smaller.
        fill: Value, or value per channel.
    """

    def __init__(
        self,
        prob: float = 0.2,
        num_boxes: tuple[int, int] = (20, 60),
        box_size: int = 32,
        fill: int | tuple[int, ...] = 0,
    ) -> None:
        self.require_prob(prob)
        low, high = num_boxes
        self.require(
            0 <= low <= high, f'num_boxes must be (least, most), got {num_boxes}'
        )
        self.require(box_size >= 1, f'box_size must be at least 1, got {box_size}')
        self.prob = prob
        self.num_boxes = (low, high)
        self.box_size = box_size
        self.fill = fill

    @cache_randomness
    def _draw_corners(self, height: int, width: int) -> np.ndarray:
        """Top-left corners (N, 2) as y, x; none if nothing is to be erased."""
        if np.random.rand() >= self.prob:
            return np.zeros((0, 2), dtype=np.int64)
        low, high = self.num_boxes
        room = np.maximum([height - self.box_size, width - self.box_size], 0)
        return np.random.randint(
            0, room + 1, size=(np.random.randint(low, high + 1), 2)
        )

    def transform(self, results: Sample) -> Sample:
        """Erases boxes in ``img``."""
        corners = self._draw_corners(*results['img'].shape[:2])
        if len(corners):
            img = results['img'].copy()
            for y, x in corners:
                img[y : y + self.box_size, x : x + self.box_size] = self.fill
            results['img'] = img
        return results
