# SPDX-License-Identifier: Apache-2.0
"""Crop, mirror, turn and erase so that the expression stays true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from ...language.crops import survives_cropping
from ...language.directions import rewrite_directions
from .loading import ReferringTransform, Sample, move_pixels


@TRANSFORMS.register_module()
class RandomReferringCrop(ReferringTransform):
    """Crop a window around the referred objects, where the expression stays true.

    The window shows all of them, at a random place in it; where there is no target, it
    may lie anywhere, so that scale doesn't tell absence. Where the expression might be
    false in it (:func:`survives_cropping`) or the objects leave no room, the sample
    stays as it is. For training pipelines, after ``LoadReferringMask`` and
    before ``Resize``, which turns windows of different sizes and shapes into objects of
    different scales.

    Changes ``img``, ``img_shape`` and the keys in ``seg_fields``.

    Args:
        prob: Probability to crop.
        scale: Least and largest part of the image's height, and of its width, that
            the window has.
        margin: Pixels of the image to leave around the object, where there are so
            many, so that its outline is seen.
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
        """Window over ``hit`` (N,), the rows with pixels of the object, if any."""
        shown = np.flatnonzero(hit)
        first, last = len(hit), 0
        if len(shown):
            first = max(shown[0] - self.margin, 0)
            last = min(shown[-1] + 1 + self.margin, len(hit))
        length = max(round(len(hit) * part), last - first, 1)
        low, high = max(last - length, 0), min(first, len(hit) - length)
        start = low + int(place * (high - low + 1))
        return slice(start, start + length)

    def transform(self, results: Sample) -> Sample:
        self.require_key(results, 'expression', 'ChooseExpression')
        self.require_key(results, 'gt_seg_map', 'LoadReferringMask')
        drawn = self._draw()
        target = results['gt_seg_map'] == 1
        if drawn is None or not survives_cropping(results['expression']):
            return results
        parts, places = drawn
        window = tuple(
            self._span(target.any(axis=1 - axis), parts[axis], places[axis])
            for axis in (0, 1)
        )
        move_pixels(results, lambda array: array[window])
        return results


_Move = TypeVar('_Move', str, int)


class _RandomMove(ReferringTransform):
    """Draws a move, and rewrites the expression or leaves the sample as it is."""

    def __init__(self, prob: float) -> None:
        self.require_prob(prob)
        self.prob = prob

    @cache_randomness
    def _draw(self, moves: Sequence[_Move]) -> _Move | None:
        if np.random.rand() >= self.prob:
            return None
        return moves[np.random.randint(len(moves))]

    def _rewrite(self, results: Sample, move: str) -> bool:
        """Sets the new expression; False if it can't be written safely."""
        self.require_key(results, 'expression', 'ChooseExpression')
        expression = rewrite_directions(results['expression'], move)
        if expression is None:
            return False
        results['expression'] = expression
        return True


@TRANSFORMS.register_module()
class RandomReferringFlip(_RandomMove):
    """Mirror a sample and the direction words of its expression.

    Where the expression tells a direction that can't be mapped safely, the
    sample stays as it is. For training pipelines: predictions are not mirrored
    back.

    Changes ``img``, ``expression`` and the keys in ``seg_fields``; adds ``flip``
    (bool) and ``flip_direction`` (str or None).

    Args:
        prob: Probability to mirror.
        directions: ``'horizontal'`` (left and right change places) and
            ``'vertical'``; one is drawn.
    """

    def __init__(
        self,
        prob: float = 0.5,
        directions: str | Sequence[str] = ('horizontal', 'vertical'),
    ) -> None:
        super().__init__(prob)
        directions = (directions,) if isinstance(directions, str) else tuple(directions)
        self.require(
            bool(directions) and set(directions) <= {'horizontal', 'vertical'},
            f"directions are 'horizontal' and 'vertical', got {directions}",
        )
        self.directions = directions

    def transform(self, results: Sample) -> Sample:
        direction = self._draw(self.directions)
        moved = direction is not None and self._rewrite(results, direction)
        results['flip'] = moved
        results['flip_direction'] = direction if moved else None
        if moved:
            axis = 1 if direction == 'horizontal' else 0
            move_pixels(results, lambda array: np.flip(array, axis))
        return results


@TRANSFORMS.register_module()
class RandomReferringRotate90(_RandomMove):
    """Turn a sample by a right angle, and the direction words with it.

    Where the expression tells a direction that can't be mapped safely, the
    sample stays as it is. For training pipelines: predictions are not turned
    back. Quarter turns exchange height and width.

    Changes ``img``, ``img_shape``, ``expression`` and the keys in ``seg_fields``;
    adds ``rotation`` (int): degrees counter-clockwise, 0 if not turned.

    Args:
        prob: Probability to turn.
        angles: Degrees counter-clockwise, of 90, 180 and 270; one is drawn.
    """

    def __init__(
        self, prob: float = 0.5, angles: Sequence[int] = (90, 180, 270)
    ) -> None:
        super().__init__(prob)
        angles = tuple(angles)
        self.require(
            bool(angles) and set(angles) <= {90, 180, 270},
            f'angles are 90, 180 and 270, got {angles}',
        )
        self.angles = angles

    def transform(self, results: Sample) -> Sample:
        angle = self._draw(self.angles) or 0
        if angle and not self._rewrite(results, f'rotate{angle}'):
            angle = 0
        results['rotation'] = angle
        if angle:
            move_pixels(results, lambda array: np.rot90(array, angle // 90))
        return results


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
        corners = self._draw_corners(*results['img'].shape[:2])
        if len(corners):
            img = results['img'].copy()
            for y, x in corners:
                img[y : y + self.box_size, x : x + self.box_size] = self.fill
            results['img'] = img
        return results
