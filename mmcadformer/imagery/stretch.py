# SPDX-License-Identifier: Apache-2.0
"""From any number of bits to the 8 that the network reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Share of equal values from which they look like a mark rather than a measurement.
_FREQUENT = 0.001


@dataclass(frozen=True)
class Stretch:
    """A linear stretch per band.

    Args:
        low: Value of each band that becomes 0.
        high: Value of each band that becomes 255.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Applies it to (bands, H, W) of any type; gives uint8, NaN becomes 0."""
        low = np.array(self.low)[:, None, None]
        high = np.array(self.high)[:, None, None]
        scaled = (values.astype(np.float64) - low) * (255 / (high - low))
        return np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)


def given_stretch(value_range: Sequence[float], num_bands: int) -> Stretch:
    """A stretch from what the user states.

    Args:
        value_range: Lowest and highest value for all bands, or such a pair for each.
        num_bands: How many bands are read.

    Raises:
        ValueError: If there are too few numbers, or a range is empty.
    """
    numbers = [float(value) for value in value_range]
    if len(numbers) == 2:
        numbers *= num_bands
    if len(numbers) != 2 * num_bands:
        raise ValueError(
            f'value range: give 2 numbers, or {2 * num_bands} for {num_bands} bands, '
            f'not {len(numbers)}'
        )
    low, high = tuple(numbers[::2]), tuple(numbers[1::2])
    if not np.isfinite(numbers).all() or not np.less(low, high).all():
        raise ValueError(
            f'value range {numbers}: each lowest value must be below its highest'
        )
    return Stretch(low, high)


def percentile_stretch(sample: np.ndarray, percentiles: tuple[float, float]) -> Stretch:
    """A stretch that cuts the darkest and brightest values off.

    Args:
        sample: Values without missing ones, (bands, N).
        percentiles: The lower and upper share of values, 0...100.
    """
    low, high = np.percentile(sample.astype(np.float64), percentiles, axis=1)
    # A band of one value has no range; any width does.
    high = np.where(high > low, high, low + 1)
    return Stretch(tuple(map(float, low)), tuple(map(float, high)))


def fill_hint(sample: np.ndarray) -> str:
    """Says that a value probably stands for missing pixels, if one does.

    It does if the lowest or highest value of a band is frequent and further from the
    others than they are from each other.

    Args:
        sample: Values (bands, N).
    """
    for values in sample.astype(np.float64):
        for extreme in (values.min(), values.max()):
            others = values[values != extreme]
            share = 1 - len(others) / len(values)
            if len(others) < 2 or share < _FREQUENT:
                continue
            gap = np.abs(others - extreme).min()
            if gap > others.max() - others.min() > 0:
                return (
                    f'{share:.0%} of the values are {extreme:g}, far from all others: '
                    f'if they stand for missing pixels, give --nodata {extreme:g}'
                )
    return ''
