# SPDX-License-Identifier: Apache-2.0
"""What the transforms have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

Sample = dict[str, Any]


class ReferringTransform(BaseTransform):
    """A transform that names itself in errors and shows its settings."""

    def require(self, good: bool, message: str) -> None:
        """Raises ValueError for a setting that can't be used."""
        if not good:
            raise ValueError(f'{type(self).__name__}: {message}')

    def require_prob(self, prob: float) -> None:
        """Raises ValueError for what isn't a probability."""
        self.require(0 <= prob <= 1, f'prob must be in [0, 1], got {prob}')

    def require_key(self, results: Sample, key: str, before: str) -> None:
        """Raises KeyError if the transform ``before`` has not set ``key``."""
        if key not in results:
            raise KeyError(
                f'{type(self).__name__}: no {key!r} in the sample; put {before} '
                'before it'
            )

    def __repr__(self) -> str:
        settings = ', '.join(f'{key}={value!r}' for key, value in vars(self).items())
        return f'{type(self).__name__}({settings})'


def move_pixels(results: Sample, move: Callable[[np.ndarray], np.ndarray]) -> None:
    """Applies a function of arrays (H, W, ...) to ``img`` and the masks."""
    for key in ('img', *results.get('seg_fields', ())):
        results[key] = np.ascontiguousarray(move(results[key]))
    results['img_shape'] = results['img'].shape[:2]
