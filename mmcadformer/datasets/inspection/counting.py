# SPDX-License-Identifier: Apache-2.0
"""Counting of triplets, words, categories, pixels and tokens."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from ...utils.parallel import map_tracked
from ..masks import compressed_segments, is_mask_file, load_mask
from ..records import Record

Statistics = dict[str, Any]
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SPLITS = ('train', 'val', 'test')
# Of the image, in percent: a factor of about 3 from one to the next.
AREA_EDGES = (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
TOKEN_LIMITS = (10, 15, 20, 22, 25, 30, 40, 50, 64, 77, 128)


def collect_statistics(
    objects: Sequence[Record],
    count_tokens: Callable[[list[str]], list[int]] | None = None,
    max_tokens: int | None = None,
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Statistics:
    """Statistics of a data set.

    A triplet is one expression with its image and mask. Words are runs of
    letters and digits, apostrophes and hyphens within them included.

    Args:
        objects: Records of all splits.
        count_tokens: Length of each expression as the text encoder sees it, [CLS]
            and [SEP] included. Without it, tokens aren't counted.
        max_tokens: Limit to report truncation at.
        backend_args: Of MMEngine's file backend, to open mask files.
        workers: Processes that open mask files; 0 for none.
        progress: Show a bar.

    Returns:
        What can be written as JSON.
    """
    there = {obj['split'] for obj in objects}
    splits = [s for s in SPLITS if s in there] + sorted(there.difference(SPLITS))
    said = [(obj['split'], text) for obj in objects for text in obj['expressions']]
    words = [(split, _WORD.findall(text.lower())) for split, text in said]
    return dict(
        splits=splits,
        triplets=_triplets(objects, splits),
        images=_by_split(objects, splits, 'img_path'),
        objects=_by_split(objects, splits, 'ann_id'),
        words=_spread([len(own) for _, own in words]),
        vocabulary=_vocabulary(words),
        categories_named=_categories_named(words, objects),
        area=_areas(objects, backend_args, workers, progress),
        tokens=_tokens([text for _, text in said], count_tokens, max_tokens),
    )


def _triplets(objects: Iterable[Record], splits: Sequence[str]) -> Statistics:
    """Table I: triplets by category and split, with totals."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for obj in objects:
        counts[obj['category']][obj['split']] += len(obj['expressions'])

    def row(count: Counter[str]) -> dict[str, int]:
        return dict({split: count[split] for split in splits}, total=count.total())

    return dict(
        categories={category: row(counts[category]) for category in sorted(counts)},
        total=row(sum(counts.values(), Counter())),
    )


def _by_split(
    objects: Iterable[Record], splits: Iterable[str], key: str
) -> dict[str, int]:
    """Number of different values in each split, and in all of them."""
    found: dict[str, set] = {split: set() for split in splits}
    for obj in objects:
        found[obj['split']].add(obj[key])
    counts = {split: len(values) for split, values in found.items()}
    return dict(counts, total=len(set().union(*found.values())))


def _spread(values: Sequence[int]) -> Statistics:
    """Summary and histogram of whole numbers."""
    if not values:
        return dict(min=0, mean=0.0, median=0.0, max=0, histogram={})
    return dict(
        min=int(min(values)),
        mean=float(np.mean(values)),
        median=float(np.median(values)),
        max=int(max(values)),
        histogram={str(value): n for value, n in sorted(Counter(values).items())},
    )


def _vocabulary(words: Iterable[tuple[str, list[str]]]) -> Statistics:
    counts = Counter(word for _, own in words for word in own)
    in_training = {word for split, own in words if 'train' in split for word in own}
    return dict(
        size=len(counts),
        words=sum(counts.values()),
        once=sum(count == 1 for count in counts.values()),
        not_in_training=len(set(counts) - in_training),
        different_expressions=len({' '.join(own) for _, own in words}),
        most_frequent=dict(counts.most_common(30)),
    )


def _categories_named(
    words: Iterable[tuple[str, list[str]]], objects: Iterable[Record]
) -> Statistics:
    """How many of the data set's categories an expression names.

    A name counts once however often it occurs, in singular or plural, and not
    within a longer one.
    """
    names = sorted({obj['category'].lower() for obj in objects}, key=len, reverse=True)
    pattern = re.compile(rf'\b({"|".join(map(re.escape, names))})(?:e?s)?\b')
    return _spread([len(set(pattern.findall(' '.join(own)))) for _, own in words])


def _areas(
    objects: Sequence[Record], backend_args: dict | None, workers: int, progress: bool
) -> Statistics:
    """Share of the image that targets cover, in percent."""
    jobs = [(obj, backend_args) for obj in objects]
    shares = list(map_tracked(_share, jobs, workers, progress, chunksize=64))
    measured = [share for share in shares if share is not None]
    no_target = sum(obj['segmentation'] is None for obj in objects)
    by_category = defaultdict(list)
    for obj, share in zip(objects, shares, strict=True):
        if share is not None:
            by_category[obj['category']].append(share)
    counts, _ = np.histogram(measured, AREA_EDGES)
    quantiles = (0, 5, 25, 50, 75, 95, 100)
    return dict(
        unit='percent of the image',
        measured=len(measured),
        no_target=no_target,
        not_measured=len(shares) - len(measured) - no_target,
        mean=float(np.mean(measured)) if measured else None,
        quantiles={
            str(q): float(np.percentile(measured, q)) for q in quantiles if measured
        },
        histogram=dict(edges=list(AREA_EDGES), counts=counts.tolist()),
        median_by_category={
            category: float(np.median(values))
            for category, values in sorted(by_category.items())
        },
    )


def _share(job: tuple[Record, dict | None]) -> float | None:
    """Percent of the image in a mask.

    None where there is no target, or the size of the image isn't known.
    """
    obj, backend_args = job
    segmentation, height, width = obj['segmentation'], obj['height'], obj['width']
    if segmentation is None:
        return None
    if is_mask_file(segmentation):
        return 100 * float(load_mask(segmentation, height, width, backend_args).mean())
    if None in (height, width):
        return None
    rle = mask_utils.merge(compressed_segments(segmentation, height, width))
    return 100 * (float(mask_utils.area(rle)) / (height * width))


def _tokens(
    expressions: list[str],
    count_tokens: Callable[[list[str]], list[int]] | None,
    max_tokens: int | None,
) -> Statistics | None:
    if count_tokens is None:
        return None
    lengths = np.asarray(count_tokens(expressions))
    limits = sorted({*TOKEN_LIMITS, *([max_tokens] if max_tokens else [])})
    return dict(
        _spread(lengths.tolist()),
        max_tokens=max_tokens,
        truncated={str(n): float(100 * (lengths > n).mean()) for n in limits},
    )
