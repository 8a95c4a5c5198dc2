# SPDX-License-Identifier: Apache-2.0
"""Random box erasing."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomBoxErasing(BaseTransform):
    """Paint boxes over an image at random places; the mask stays as it is.

    The augmentation of RMSIN, which erases boxes in the original image (so put
    it before ``Resize``) and draws the 20 % of the objects to erase once. Here
    every load of a sample draws anew, and images need not be square.

    Required Keys:

    - img

    Modified Keys:

    - img

    Args:
        prob (float): Probability to erase anything. Defaults to 0.2.
        num_boxes (tuple[int, int]): Least and most boxes. Defaults to
            (20, 60).
        box_size (int): Side of a box in pixels; boxes lie inside the image,
            and are cut where it is smaller. Defaults to 32.
        fill (int | tuple[int]): Value, or value per channel. Defaults to 0.
    """

    def __init__(self, prob=0.2, num_boxes=(20, 60), box_size=32, fill=0):
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomBoxErasing: prob must be in [0, 1], got {prob}')
        low, high = num_boxes
        if not 0 <= low <= high:
            raise ValueError(
                f'RandomBoxErasing: num_boxes must be (least, most), got {num_boxes}'
            )
        if box_size < 1:
            raise ValueError(
                f'RandomBoxErasing: box_size must be at least 1, got {box_size}'
            )
        self.prob = prob
        self.num_boxes = (low, high)
        self.box_size = box_size
        self.fill = fill

    @cache_randomness
    def _draw_corners(self, height, width):
        """Top-left corners (N, 2) as y, x; none if nothing is to be erased."""
        if np.random.rand() >= self.prob:
            return np.zeros((0, 2), dtype=np.int64)
        low, high = self.num_boxes
        room = np.maximum([height - self.box_size, width - self.box_size], 0)
        return np.random.randint(
            0, room + 1, size=(np.random.randint(low, high + 1), 2)
        )

    def transform(self, results):
        """Erase boxes in ``img``."""
        corners = self._draw_corners(*results['img'].shape[:2])
        if len(corners):
            img = results['img'].copy()
            for y, x in corners:
                img[y : y + self.box_size, x : x + self.box_size] = self.fill
            results['img'] = img
        return results

    def __repr__(self):
        return (
            f'{self.__class__.__name__}(prob={self.prob}, '
            f'num_boxes={self.num_boxes}, box_size={self.box_size}, '
            f'fill={self.fill})'
        )
