# SPDX-License-Identifier: Apache-2.0
"""Statistics as a figure."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_COLORS = ('#31688e', '#35b779', '#fde725', '#8e5b31', '#b73587', '#888888')
_BARS = '#31688e'


def plot_statistics(name, statistics, path):
    """Draw the distributions into one picture.

    Args:
        name (str): Name of the data set.
        statistics (dict): Of :func:`collect_statistics`.
        path (str | Path): File to write; the ending says how.
    """
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


def _draw_triplets(axis, statistics):
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


def _draw_areas(axis, area):
    edges = area['histogram']['edges']
    labels = [f'{low:g}-{high:g}' for low, high in zip(edges, edges[1:], strict=False)]
    axis.bar(labels, area['histogram']['counts'], color=_BARS)
    axis.tick_params('x', rotation=60)
    axis.set_xlabel('area of the target, percent of the image')
    axis.set_ylabel('objects')
    axis.set_title('target area')


def _draw_category_areas(axis, area):
    medians = area['median_by_category']
    names = sorted(medians, key=medians.get)
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


def _draw_histogram(axis, spread, what):
    values = [int(value) for value in spread['histogram']]
    axis.bar(values, list(spread['histogram'].values()), color=_BARS, width=0.9)
    axis.axvline(spread['mean'], color='#b73587', linestyle='--')
    axis.set_title(f'{what.split(" per ")[0]}: mean {spread["mean"]:.2f}')
    axis.set_xlabel(what)
    axis.set_ylabel('expressions')
    axis.xaxis.get_major_locator().set_params(integer=True)


def _draw_tokens(axis, tokens):
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
