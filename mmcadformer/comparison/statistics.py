# SPDX-License-Identifier: Apache-2.0
"""Scores, their spread over seeds, and bootstrap intervals over expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .results import MethodResults

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
# Resamples are drawn in parts of about this many numbers.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds (of the sample, n - 1).

    ``std`` is None for a single seed.
    """

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Computes both."""
        values = np.asarray(values, float)
        std = float(values.std(ddof=1)) if len(values) > 1 else None
        return cls(float(values.mean()), std)


@dataclass(frozen=True)
class Interval:
    """A difference and the interval that holds it with confidence ``level``."""

    difference: float
    low: float
    high: float
    level: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def score(
    results: MethodResults, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, Spread]:
    """Scores of a method over its seeds.

    Args:
        results: The method's.
        thresholds: The X of Pr@X.

    Returns:
        'mIoU', 'oIoU' and 'Pr@X', in percent, as ReferringIoUMetric defines them.
    """
    overall = _ratio(results.intersection.sum(axis=1), results.union.sum(axis=1))
    scores = dict(mIoU=100 * results.iou.mean(axis=1), oIoU=100 * overall)
    for threshold in thresholds:
        scores[f'Pr@{threshold:g}'] = 100 * (results.iou > threshold).mean(axis=1)
    return {name: Spread.of(values) for name, values in scores.items()}


def paired_bootstrap(
    method: MethodResults,
    reference: MethodResults,
    groups: Sequence | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of the differences of two methods' mIoU and oIoU.

    Expressions are drawn with replacement, for both methods the same ones, and the
    scores of a draw are averaged over seeds. So the interval tells how much the
    difference depends on which expressions were tested, and not how much on the
    seed. Its ends are percentiles of the draws.

    Args:
        method, reference: Results on the same expressions; the difference is the
            first minus the second.
        groups: For each expression what is drawn as a whole, such as its image:
            expressions about one image are no independent trials. None draws
            single expressions.
        resamples: Number of draws.
        level: Confidence, between 0 and 1.
        seed: Of the draws.

    Returns:
        'mIoU' and 'oIoU', in percentage points.

    Raises:
        ValueError: If an argument is out of range or the results don't match.
    """
    count = method.iou.shape[1]
    if reference.iou.shape[1] != count:
        raise ValueError(
            f'{method.name} and {reference.name} have {count} and '
            f'{reference.iou.shape[1]} expressions'
        )
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(
            'level must be between 0 and 1 and resamples 1 or more, not '
            f'{level} and {resamples}'
        )
    members = np.arange(count) if groups is None else _number(groups, count)
    draws = [
        _difference(method, reference, weights)
        for weights in _draw(members, resamples, np.random.default_rng(seed))
    ]
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile(np.concatenate(draws, axis=1), tails, axis=1)
    observed = _difference(method, reference, np.ones((1, count)))[:, 0]
    return {
        name: Interval(float(observed[i]), float(low[i]), float(high[i]), level)
        for i, name in enumerate(('mIoU', 'oIoU'))
    }


def _difference(
    method: MethodResults, reference: MethodResults, weights: np.ndarray
) -> np.ndarray:
    """Differences of mIoU and oIoU for draws (R, N), (2, R)."""
    return np.stack(
        [
            scores(method, weights) - scores(reference, weights)
            for scores in (_mean_iou, _overall_iou)
        ]
    )


def _mean_iou(results: MethodResults, weights: np.ndarray) -> np.ndarray:
    """mIoU of draws (R, N), averaged over seeds, (R,)."""
    return 100 * (weights @ results.iou.mean(axis=0)) / weights.sum(axis=1)


def _overall_iou(results: MethodResults, weights: np.ndarray) -> np.ndarray:
    """oIoU of draws (R, N), averaged over seeds, (R,)."""
    ratios = _ratio(weights @ results.intersection.T, weights @ results.union.T)
    return 100 * ratios.mean(axis=1)


def _ratio(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    return np.where(union == 0, 1.0, intersection / np.where(union == 0, 1, union))


def _number(groups: Sequence, count: int) -> np.ndarray:
    """Number of each expression's group, (N,)."""
    if len(groups) != count:
        raise ValueError(f'{len(groups)} groups were given for {count} expressions')
    numbers: dict = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def _draw(members: np.ndarray, resamples: int, rng: np.random.Generator):
    """How often each expression is in each draw, some draws (R, N) at a time."""
    count = int(members.max()) + 1
    step = max(1, _CHUNK // len(members))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(count, size=(rows, count))
        drawn += count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count)
        yield weights.reshape(rows, count)[:, members].astype(float)
