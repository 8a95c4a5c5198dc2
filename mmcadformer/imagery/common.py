# SPDX-License-Identifier: Apache-2.0
"""One stretch for many pictures: neighbours that meet without a seam."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..utils.log import warn
from .raster import Raster
from .reading import Reading
from .stretch import fill_hint, percentile_stretch

MAX_VALUES = 4_000_000
"""Per band, over all pictures."""


@dataclass(frozen=True)
class _Sample:
    """Values of a picture.

    Args:
        path: Of the picture.
        kind: What is equal if one range can suit several pictures.
        values: (bands, N); None if it isn't stretched by its values.
        share: Which part of its pixels they stand for.
    """

    path: str
    kind: tuple[str, int, bool]
    values: np.ndarray | None = None
    share: float = 1


def common_value_range(
    paths: Sequence[str | os.PathLike],
    reading: Reading | None = None,
    skip_errors: bool = False,
) -> tuple[float, ...] | None:
    """The range of values that suits many pictures together.

    Each picture counts by its area: the sample has equally many values per pixel of
    all of them.

    Args:
        paths: Rasters.
        reading: How to understand them; its ``percentiles`` bound the range.
        skip_errors: Leave out pictures that can't be read.

    Returns:
        Lowest and highest value of each band, for :class:`Reading`'s
        ``value_range``; None if no picture is stretched by its values, since all
        have 8 bits, or have no data.

    Raises:
        FileNotFoundError, ValueError: A picture can't be read, or depth or number of
            bands differ, so that one range would not suit all.
    """
    reading = reading or Reading()
    found: list[_Sample] = []
    for path in paths:
        try:
            sample = _take_sample(path, reading, MAX_VALUES // len(paths))
        except (FileNotFoundError, ValueError):
            if not skip_errors:
                raise
            continue
        if found and sample.kind != found[0].kind:
            raise ValueError(
                f'one stretch cannot suit {found[0].path} ({_words(found[0].kind)}) '
                f'and {sample.path} ({_words(sample.kind)}): give a value range '
                '(--value-range), or separate them'
            )
        found.append(sample)
    samples = [(s.values, s.share) for s in found if s.values is not None]
    if not samples:
        return None
    # The same share of all pictures' pixels.
    least = min(share for _, share in samples)
    pool = np.concatenate(
        [
            _thinned(values, round(values.shape[1] * least / share))
            for values, share in samples
        ],
        axis=1,
    )
    hint = fill_hint(pool)
    if hint:
        warn(f'in {len(paths)} pictures {hint}')
    stretch = percentile_stretch(pool, reading.percentiles)
    return tuple(
        value for pair in zip(stretch.low, stretch.high, strict=True) for value in pair
    )


def _take_sample(path: str | os.PathLike, reading: Reading, max_values: int) -> _Sample:
    with Raster(path, reading) as raster:
        kind = raster.depth, len(raster.colors.bands), raster.is_sampled
        if not raster.is_sampled:
            return _Sample(raster.path, kind)
        values, looked_at = raster.sample()
        if not values.size:
            return _Sample(raster.path, kind)
        few = _thinned(values, max_values)
        share = looked_at / (raster.height * raster.width)
        share *= few.shape[1] / values.shape[1]
        return _Sample(raster.path, kind, few, share)


def _words(kind: tuple[str, int, bool]) -> str:
    depth, bands, _ = kind
    return f'{depth}, {bands} band{"s" * (bands > 1)}'


def _thinned(values: np.ndarray, wanted: int) -> np.ndarray:
    """So many of the values (bands, N), evenly spaced; at least one."""
    count = min(max(wanted, 1), values.shape[1])
    return values[:, np.linspace(0, values.shape[1] - 1, count).astype(int)]
