# SPDX-License-Identifier: Apache-2.0
"""Scores, their spread over seeds, and bootstrap intervals over expressions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation import THRESHOLDS, summarize
from .results import MethodResults, ratio

# Resamples are drawn in parts of about this many numbers.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds (of the sample, n - 1)."""

    mean: float
    std: float | None  # None for a single seed

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Spread:
        """Computes both."""
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), std)

    def __format__(self, spec: str) -> str:
        mean = format(self.mean, spec)
        return mean if self.std is None else f'{mean} ± {self.std:{spec}}'


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

    def __format__(self, spec: str) -> str:
        return f'{self.difference:+{spec}} [{self.low:+{spec}}, {self.high:+{spec}}]'


@dataclass(frozen=True)
class Estimate:
    """A score and the interval that holds it with confidence ``level``."""

    value: float
    low: float
    high: float
    level: float

    def __format__(self, spec: str) -> str:
        return f'{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]'


def score(results: MethodResults) -> dict[str, Spread]:
    """'mIoU', 'oIoU' and 'Pr@X' in percent, as ReferringIoUMetric defines them."""
    seeds = [
        summarize(intersection.tolist(), union.tolist(), protocol=results.protocol)
        for intersection, union in zip(results.intersection, results.union, strict=True)
    ]
    return {name: Spread.of([seed[name] for seed in seeds]) for name in seeds[0]}


def paired_bootstrap(
    method: MethodResults,
    reference: MethodResults,
    groups: Sequence[Hashable] | None = None,
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
        method, reference: The difference is the first minus the second.
        groups: For each expression what is drawn as a whole, such as its image:
            expressions about one image are not independent trials. None draws
            single expressions.
        resamples: Number of draws.
        level: Confidence, between 0 and 1.

    Returns:
        'mIoU' and 'oIoU', in percentage points.
    """
    count = len(method.expressions)
    if len(reference.expressions) != count:
        raise ValueError(
            f'{method.name} and {reference.name} have {count} and '
            f'{len(reference.expressions)} expressions'
        )
    tails = _tails(level)
    draws = [
        _scores(method, weights) - _scores(reference, weights)
        for weights in _draw(count, groups, resamples, seed)
    ]
    low, high = np.percentile(np.concatenate(draws, axis=1), tails, axis=1)
    everything = np.ones((1, count))
    observed = (_scores(method, everything) - _scores(reference, everything))[:, 0]
    return {
        name: Interval(float(observed[i]), float(low[i]), float(high[i]), level)
        for i, name in enumerate(('mIoU', 'oIoU'))
    }


def bootstrap(
    results: MethodResults,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Scores of one method and their intervals; drawn as :func:`paired_bootstrap` does.

    Returns:
        'mIoU', 'oIoU' and 'Pr@X', in percent.
    """
    tails = _tails(level)
    shares = [results.protocol.hits(results.iou, x).mean(axis=0) for x in THRESHOLDS]
    hits = 100 * np.stack(shares)  # averaged over seeds, (X, N)
    draws = [
        np.vstack([_scores(results, weights), hits @ weights.T / weights.sum(axis=1)])
        for weights in _draw(len(results.expressions), groups, resamples, seed)
    ]
    low, high = np.percentile(np.concatenate(draws, axis=1), tails, axis=1)
    return {
        name: Estimate(spread.mean, float(low[i]), float(high[i]), level)
        for i, (name, spread) in enumerate(score(results).items())
    }


def _tails(level: float) -> tuple[float, float]:
    """Percentages of draws below the interval and its upper end."""
    if not 0 < level < 1:
        raise ValueError(f'level must be between 0 and 1, not {level}')
    return 50 * (1 - level), 50 * (1 + level)


def _scores(results: MethodResults, weights: np.ndarray) -> np.ndarray:
    """mIoU and oIoU of draws (R, N), averaged over seeds, (2, R)."""
    mean = (weights @ results.iou.mean(axis=0)) / weights.sum(axis=1)
    overall = ratio(
        weights @ results.intersection.T,
        weights @ results.union.T,
        results.protocol.empty_iou,
    )
    return 100 * np.stack([mean, overall.mean(axis=1)])


def _draw(
    count: int, groups: Sequence[Hashable] | None, resamples: int, seed: int
) -> Iterator[np.ndarray]:
    """How often each of N expressions is in each draw, some draws (R, N) at a time."""
    groups = range(count) if groups is None else groups
    if len(groups) != count:
        raise ValueError(f'{len(groups)} groups were given for {count} expressions')
    if resamples < 1:
        raise ValueError(f'resamples must be 1 or more, not {resamples}')
    rng = np.random.default_rng(seed)
    numbers: dict[Hashable, int] = {}
    members = [numbers.setdefault(group, len(numbers)) for group in groups]
    total = len(numbers)
    step = max(1, _CHUNK // count)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(total, size=(rows, total))
        drawn += total * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * total)
        yield weights.reshape(rows, total)[:, members].astype(float)
