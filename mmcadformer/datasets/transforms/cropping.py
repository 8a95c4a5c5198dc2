# SPDX-License-Identifier: Apache-2.0
"""Crop images so that the expression stays true."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from ...language.crops import survives_cropping


@TRANSFORMS.register_module()
class RandomReferringCrop(BaseTransform):
    """Crop a window around the referred object, where the expression stays true.

    The window shows the whole object, at a random place in it. Where the expression
    might be false in it (:func:`survives_cropping`) or the object leaves no room, the
    sample stays as it is. For training pipelines, after ``LoadReferringMask`` and
    before ``Resize``, which turns windows of different sizes and shapes into objects of
    different scales.

    Required Keys:

    - img
    - expression (str)
    - gt_seg_map
    - the other keys in seg_fields (optional)

    Modified Keys:

    - img
    - img_shape
    - the keys in seg_fields

    Args:
        prob (float): Probability to crop. Defaults to 0.5.
        scale (tuple[float, float]): Least and largest part of the image's height, and
            of its width, that the window has. Defaults to (0.5, 1.0).
        margin (int): Pixels of the image to leave around the object, where there are
            so many, so that its outline is seen. Defaults to 4.

    Raises:
        ValueError: A setting is out of its range.
        KeyError: There is no expression or no mask yet.
    """

    def __init__(self, prob=0.5, scale=(0.5, 1.0), margin=4):
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomReferringCrop: prob must be in [0, 1], got {prob}')
        low, high = scale
        if not 0 < low <= high <= 1:
            raise ValueError(
                'RandomReferringCrop: scale must be (least, largest) in (0, 1], got '
                f'{scale}'
            )
        if margin < 0:
            raise ValueError(
                f'RandomReferringCrop: margin must not be negative, got {margin}'
            )
        self.prob = prob
        self.scale = (low, high)
        self.margin = margin

    @cache_randomness
    def _draw(self):
        """Size and place of the window, both in parts; None for no crop."""
        if np.random.rand() >= self.prob:
            return None
        return np.random.uniform(*self.scale, size=2), np.random.rand(2)

    def _span(self, hit, part, place):
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

    def transform(self, results):
        """Crop ``img`` and masks."""
        for key, before in (
            ('expression', 'ChooseExpression'),
            ('gt_seg_map', 'LoadReferringMask'),
        ):
            if key not in results:
                raise KeyError(
                    f'RandomReferringCrop: no {key!r} in the sample; put {before} '
                    'before it'
                )
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
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = np.ascontiguousarray(results[key][window])
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self):
        return (
            f'{self.__class__.__name__}(prob={self.prob}, scale={self.scale}, '
            f'margin={self.margin})'
        )
