# SPDX-License-Identifier: Apache-2.0
"""Counting of triplets, words, categories, pixels and tokens; tables and figure."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as mask_utils
from tabulate import tabulate

from ...utils.progress import map_tracked
from ..masks import compressed_segments, files_in, load_mask
from ..records import Record
from ..targets import ONE, kind_of, target_ids
from .pictures import examine_pictures, picture_table, summarise_pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Statistics = dict[str, Any]
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SPLITS = ('train', 'val', 'test')
# Of the image, in percent: a factor of about 3 from one to the next.
AREA_EDGES = (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_COLORS = ('#31688e', '#35b779', '#fde725', '#8e5b31', '#b73587', '#888888')
_BARS = '#31688e'
TOKEN_LIMITS = (10, 15, 20, 22, 25, 30, 40, 50, 64, 77, 128)


def collect_statistics(
    objects: Sequence[Record],
    count_tokens: Callable[[list[str]], list[int]] | None = None,
    max_tokens: int | None = None,
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
    images: bool = True,
) -> Statistics:
    """Statistics of objects of all splits, as JSON can hold them.

    A triplet is one expression with its image and mask. Words are runs of letters and
    digits, apostrophes and hyphens within them included. ``count_tokens`` gives the
    length of each expression as the text encoder sees it, [CLS] and [SEP] included;
    without it, tokens aren't counted. Truncation is reported at ``max_tokens``, too.
    Without ``images``, no picture is opened.
    """
    there = {obj['split'] for obj in objects}
    splits = [s for s in SPLITS if s in there] + sorted(there.difference(SPLITS))
    said = [(obj['split'], text) for obj in objects for text in obj['expressions']]
    words = [(split, _WORD.findall(text.lower())) for split, text in said]
    return dict(
        splits=splits,
        triplets=_count_triplets(objects, splits),
        images=_by_split(objects, splits, lambda obj: {obj['img_path']}),
        objects=_by_split(objects, splits, target_ids),
        kinds=_count_kinds(objects),
        words=_spread([len(own) for _, own in words]),
        vocabulary=_vocabulary(words),
        categories_named=_categories_named(words, objects),
        pictures=summarise_pictures(
            examine_pictures(
                (obj['img_path'] for obj in objects), backend_args, workers, progress
            )
        )
        if images
        else None,
        area=_count_areas(objects, backend_args, workers, progress),
        tokens=_count_tokens([text for _, text in said], count_tokens, max_tokens),
    )


def _count_triplets(objects: Iterable[Record], splits: Sequence[str]) -> Statistics:
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
    objects: Iterable[Record],
    splits: Iterable[str],
    values_of: Callable[[Record], Collection],
) -> dict[str, int]:
    """Number of different values in each split, and in all of them."""
    found: dict[str, set] = {split: set() for split in splits}
    for obj in objects:
        found[obj['split']].update(values_of(obj))
    counts = {split: len(values) for split, values in found.items()}
    return dict(counts, total=len(set().union(*found.values())))


def _count_kinds(objects: Iterable[Record]) -> dict[str, int]:
    """Expressions by how many targets they have."""
    counts = Counter[str]()
    for obj in objects:
        counts[kind_of(obj)] += len(obj['expressions'])
    return dict(sorted(counts.items()))


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


def _count_areas(
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
    """Percent of the image in a mask; None without target or size."""
    obj, backend_args = job
    segmentation, height, width = obj['segmentation'], obj['height'], obj['width']
    if segmentation is None:
        return None
    if files_in(segmentation):
        mask = load_mask(segmentation, height, width, backend_args)
        return 100 * float((mask == 1).mean())
    if None in (height, width):
        return None
    rle = mask_utils.merge(compressed_segments(segmentation, height, width))
    return 100 * (float(mask_utils.area(rle)) / (height * width))


def _count_tokens(
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


def format_statistics(name: str, statistics: Statistics) -> str:
    """Tables of what :func:`collect_statistics` found in a data set."""
    parts = [
        f'{name}: triplets by category and split',
        _triplet_table(statistics),
        f'{name}: numbers',
        _number_table(statistics),
        *_kind_lines(name, statistics['kinds']),
        f'{name}: area of targets, percent of the image',
        _area_table(statistics['area']),
        *([picture_table(statistics['pictures'])] if statistics['pictures'] else []),
    ]
    if tokens := statistics['tokens']:
        mark = {str(tokens['max_tokens']): ' *'}
        rows = [
            [limit + mark.get(limit, ''), f'{share:.2f} %']
            for limit, share in tokens['truncated'].items()
        ]
        parts.append(f'{name}: expressions cut at max_tokens')
        parts.append(_table(['max_tokens', 'cut'], rows))
    return '\n'.join(parts)


def _kind_lines(name: str, kinds: dict[str, int]) -> list[str]:
    """How many targets expressions have, unless all have one."""
    if set(kinds) <= {ONE}:
        return []
    return [
        f'{name}: targets of an expression',
        _table(['targets', 'expressions'], kinds.items()),
    ]


def _triplet_table(statistics: Statistics) -> str:
    splits = [*statistics['splits'], 'total']
    rows = dict(
        **statistics['triplets']['categories'],
        total=statistics['triplets']['total'],
        images=statistics['images'],
        objects=statistics['objects'],
    )
    return _table(
        ['category', *splits],
        ([what, *(counts[s] for s in splits)] for what, counts in rows.items()),
    )


def _number_table(statistics: Statistics) -> str:
    spreads = dict(words=statistics['words'], categories=statistics['categories_named'])
    if statistics['tokens']:
        spreads['tokens'] = statistics['tokens']
    rows = [
        [what, s['min'], f'{s["mean"]:.2f}', s['median'], s['max']]
        for what, s in spreads.items()
    ]
    vocabulary = statistics['vocabulary']
    return (
        f'{_table(["per expression", "min", "mean", "median", "max"], rows)}\n'
        f'vocabulary: {vocabulary["size"]} words, {vocabulary["once"]} of them used '
        f'once, {vocabulary["not_in_training"]} not in training; '
        f'{vocabulary["different_expressions"]} different expressions'
    )


def _area_table(area: Statistics) -> str:
    counts = area['histogram']['counts']
    rows = zip((f'{label} %' for label in _bins(area, ' - ')), counts, strict=True)
    lines = [_table(['of the image', 'targets'], rows)]
    if area['quantiles']:
        median, mean = area['quantiles']['50'], area['mean']
        lines.append(f'median {median:.3g} %, mean {mean:.3g} %')
    if area['no_target']:
        lines.append(f'{area["no_target"]} expressions refer to nothing')
    if area['not_measured']:
        lines.append(
            f'{area["not_measured"]} not measured: polygons in images whose size '
            'the annotations do not tell'
        )
    return '\n'.join(lines)


def _bins(area: Statistics, dash: str) -> list[str]:
    edges = area['histogram']['edges']
    pairs = zip(edges[:-1], edges[1:], strict=True)
    return [f'{low:g}{dash}{high:g}' for low, high in pairs]


def _table(headers: Sequence[str], rows: Iterable[Sequence]) -> str:
    align = ['left', *['right'] * (len(headers) - 1)]
    return tabulate(
        list(rows), headers, tablefmt='psql', disable_numparse=True, colalign=align
    )


def plot_statistics(name: str, statistics: Statistics, path: str | os.PathLike) -> None:
    """Draws the distributions into one picture; the file's ending says how."""
    categories = statistics['triplets']['categories']
    height = max(8.0, 0.32 * len(categories) + 5.0)
    # Not before: it takes a fifth of a second, and hardly anybody draws.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, height), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        2, 3, gridspec_kw=dict(height_ratios=(max(1.0, len(categories) / 12), 1))
    )
    figure.suptitle(name)
    _draw_triplets(axes[0, 0], statistics)
    _draw_areas(axes[0, 1], statistics['area'])
    _draw_category_areas(axes[0, 2], statistics['area'])
    _draw_histogram(axes[1, 0], statistics['words'], 'words per expression')
    _draw_histogram(
        axes[1, 1], statistics['categories_named'], 'categories named per expression'
    )
    if statistics['tokens']:
        _draw_tokens(axes[1, 2], statistics['tokens'])
    else:
        axes[1, 2].set_axis_off()
    figure.savefig(path, dpi=110)


def _draw_triplets(axis: Axes, statistics: Statistics) -> None:
    categories = statistics['triplets']['categories']
    names = sorted(categories, key=lambda name: categories[name]['total'])
    left = np.zeros(len(names))
    for position, split in enumerate(statistics['splits']):
        counts = np.array([categories[name][split] for name in names])
        color = _COLORS[position % len(_COLORS)]
        axis.barh(names, counts, left=left, label=split, color=color)
        left += counts
    axis.set_xlabel('triplets')
    axis.set_title('categories and splits')
    axis.legend(loc='lower right')


def _draw_areas(axis: Axes, area: Statistics) -> None:
    axis.bar(_bins(area, '-'), area['histogram']['counts'], color=_BARS)
    axis.tick_params('x', rotation=60)
    axis.set_xlabel('area of the target, percent of the image')
    axis.set_ylabel('objects')
    axis.set_title('target area')


def _draw_category_areas(axis: Axes, area: Statistics) -> None:
    medians = area['median_by_category']
    names = sorted(medians, key=lambda name: medians[name])
    values = [medians[name] for name in names]
    axis.plot(values, names, 'o', color=_BARS)
    axis.grid(axis='y', color='#dddddd')
    if values and max(values) > 20 * min(values):
        axis.set_xscale('log')
        axis.xaxis.set_major_formatter('{x:g}')
    else:
        axis.set_xlim(left=0)
    axis.set_xlabel('median area, percent of the image')
    axis.set_title('target area by category')


def _draw_histogram(axis: Axes, spread: Statistics, what: str) -> None:
    values = [int(value) for value in spread['histogram']]
    axis.bar(values, list(spread['histogram'].values()), color=_BARS, width=0.9)
    axis.axvline(spread['mean'], color='#b73587', linestyle='--')
    axis.set_title(f'{what.split(" per ")[0]}: mean {spread["mean"]:.2f}')
    axis.set_xlabel(what)
    axis.set_ylabel('expressions')
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator('auto', integer=True))


def _draw_tokens(axis: Axes, tokens: Statistics) -> None:
    lengths = np.array([int(length) for length in tokens['histogram']])
    counts = np.array(list(tokens['histogram'].values()))
    limits = np.arange(2, max(tokens['max'], tokens['max_tokens'] or 0) + 2)
    cut = [100 * counts[lengths > limit].sum() / counts.sum() for limit in limits]
    axis.step(limits, cut, where='post', color=_BARS)
    if tokens['max_tokens']:
        axis.axvline(tokens['max_tokens'], color='#b73587', linestyle='--')
    axis.set_xlabel('max_tokens')
    axis.set_ylabel('percent of expressions')
    axis.set_title(f'expressions that are cut (tokens: mean {tokens["mean"]:.1f})')
    axis.set_ylim(bottom=0)
