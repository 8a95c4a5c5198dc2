# SPDX-License-Identifier: Apache-2.0
"""Mirror and turn images together with the words that name directions."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmseg.registry import TRANSFORMS

from ...language.directions import rewrite_directions


class _ReferringMove(BaseTransform):
    """Rewrite the expression, or leave the sample as it is."""

    def __init__(self, prob):
        if not 0 <= prob <= 1:
            raise ValueError(
                f'{self.__class__.__name__}: prob must be in [0, 1], got {prob}'
            )
        self.prob = prob

    def _rewrite(self, results, transform):
        """Set the new expression; False if it can't be written safely."""
        if 'expression' not in results:
            raise KeyError(
                f"{self.__class__.__name__}: no 'expression' in the "
                'sample; put ChooseExpression before it'
            )
        expression = rewrite_directions(results['expression'], transform)
        if expression is None:
            return False
        results['expression'] = expression
        return True

    @staticmethod
    def _apply(results, function):
        for key in ('img', *results.get('seg_fields', ())):
            results[key] = np.ascontiguousarray(function(results[key]))
        results['img_shape'] = results['img'].shape[:2]


@TRANSFORMS.register_module()
class RandomReferringFlip(_ReferringMove):
    """Mirror a sample and the direction words of its expression.

    Where the expression tells a direction that can't be mapped safely, the
    sample stays as it is. For training pipelines: predictions are not mirrored
    back.

    Required Keys:

    - img
    - expression (str)
    - the keys in seg_fields (optional)

    Modified Keys:

    - img
    - expression
    - the keys in seg_fields

    Added Keys:

    - flip (bool)
    - flip_direction (str | None)

    Args:
        prob (float): Probability to mirror. Defaults to 0.5.
        directions (Sequence[str]): ``'horizontal'`` (left and right change
            places) and ``'vertical'``; one is drawn. Defaults to both.
    """

    def __init__(self, prob=0.5, directions=('horizontal', 'vertical')):
        super().__init__(prob)
        directions = (directions,) if isinstance(directions, str) else tuple(directions)
        if not directions or set(directions) - {'horizontal', 'vertical'}:
            raise ValueError(
                "RandomReferringFlip: directions are 'horizontal' "
                f"and 'vertical', got {directions}"
            )
        self.directions = directions

    @cache_randomness
    def _draw(self):
        if np.random.rand() >= self.prob:
            return None
        return self.directions[np.random.randint(len(self.directions))]

    def transform(self, results):
        """Mirror ``img`` and masks, rewrite ``expression``."""
        direction = self._draw()
        moved = direction is not None and self._rewrite(results, direction)
        results['flip'] = moved
        results['flip_direction'] = direction if moved else None
        if moved:
            axis = 1 if direction == 'horizontal' else 0
            self._apply(results, lambda array: np.flip(array, axis))
        return results

    def __repr__(self):
        return (
            f'{self.__class__.__name__}(prob={self.prob}, directions={self.directions})'
        )


@TRANSFORMS.register_module()
class RandomReferringRotate90(_ReferringMove):
    """Turn a sample by a right angle, and the direction words with it.

    Where the expression tells a direction that can't be mapped safely, the
    sample stays as it is. For training pipelines: predictions are not turned
    back. Quarter turns exchange height and width.

    Required Keys:

    - img
    - expression (str)
    - the keys in seg_fields (optional)

    Modified Keys:

    - img
    - img_shape
    - expression
    - the keys in seg_fields

    Added Keys:

    - rotation (int): degrees counter-clockwise, 0 if not turned

    Args:
        prob (float): Probability to turn. Defaults to 0.5.
        angles (Sequence[int]): Degrees counter-clockwise, of 90, 180 and 270;
            one is drawn. Defaults to all.
    """

    def __init__(self, prob=0.5, angles=(90, 180, 270)):
        super().__init__(prob)
        angles = tuple(angles)
        if not angles or set(angles) - {90, 180, 270}:
            raise ValueError(
                f'RandomReferringRotate90: angles are 90, 180 and 270, got {angles}'
            )
        self.angles = angles

    @cache_randomness
    def _draw(self):
        if np.random.rand() >= self.prob:
            return 0
        return self.angles[np.random.randint(len(self.angles))]

    def transform(self, results):
        """Turn ``img`` and masks, rewrite ``expression``."""
        angle = self._draw()
        if angle and not self._rewrite(results, f'rotate{angle}'):
            angle = 0
        results['rotation'] = angle
        if angle:
            self._apply(results, lambda array: np.rot90(array, angle // 90))
        return results

    def __repr__(self):
        return f'{self.__class__.__name__}(prob={self.prob}, angles={self.angles})'
