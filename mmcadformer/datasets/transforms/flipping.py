# SPDX-License-Identifier: Apache-2.0
"""Mirror and turn images together with the words that name directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from ...language.directions import rewrite_directions
from .transform import ReferringTransform, Sample, move_pixels

_Move = TypeVar('_Move', str, int)


class _RandomMove(ReferringTransform, Generic[_Move]):
    """Draws a move, and rewrites the expression or leaves the sample as it is."""

    def __init__(self, prob: float) -> None:
        self.require_prob(prob)
        self.prob = prob

    def _moves(self) -> Sequence[_Move]:
        raise NotImplementedError

    @cache_randomness
    def _draw(self) -> _Move | None:
        if np.random.rand() >= self.prob:
            return None
        return self._moves()[np.random.randint(len(self._moves()))]

    def _rewrite(self, results: Sample, move: str) -> bool:
        """Sets the new expression; False if it can't be written safely."""
        self.require_key(results, 'expression', 'ChooseExpression')
        expression = rewrite_directions(results['expression'], move)
        if expression is None:
            return False
        results['expression'] = expression
        return True


@TRANSFORMS.register_module()
class RandomReferringFlip(_RandomMove[str]):
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

    def _moves(self) -> Sequence[str]:
        return self.directions

    def transform(self, results: Sample) -> Sample:
        """Mirrors ``img`` and masks, rewrites ``expression``."""
        direction = self._draw()
        moved = direction is not None and self._rewrite(results, direction)
        results['flip'] = moved
        results['flip_direction'] = direction if moved else None
        if moved:
            axis = 1 if direction == 'horizontal' else 0
            move_pixels(results, lambda array: np.flip(array, axis))
        return results


@TRANSFORMS.register_module()
class RandomReferringRotate90(_RandomMove[int]):
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

    def _moves(self) -> Sequence[int]:
        return self.angles

    def transform(self, results: Sample) -> Sample:
        """Turns ``img`` and masks, rewrites ``expression``."""
        angle = self._draw() or 0
        if angle and not self._rewrite(results, f'rotate{angle}'):
            angle = 0
        results['rotation'] = angle
        if angle:
            move_pixels(results, lambda array: np.rot90(array, angle // 90))
        return results
