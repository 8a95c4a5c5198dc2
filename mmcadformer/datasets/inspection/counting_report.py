# SPDX-License-Identifier: Apache-2.0
"""Statistics as tables and as a figure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tabulate import tabulate

from .counting import Statistics

_COLORS = ('#31688e', '#35b779', '#fde725', '#8e5b31', '#b73587', '#888888')
_BARS = '#31688e'


def format_statistics(name: str, statistics: Statistics) -> str:
    """Tables of what :func:`collect_statistics` found in a data set."""
    parts = [
        f'{name}: triplets by category and split',
        _triplets(statistics),
        f'{name}: numbers',
        _numbers(statistics),
        f'{name}: area of targets, percent of the image',
        _areas(statistics['area']),
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


def _triplets(statistics: Statistics) -> str:
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


def _numbers(statistics: Statistics) -> str:
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


def _areas(area: Statistics) -> str:
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
