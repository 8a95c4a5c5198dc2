# SPDX-License-Identifier: Apache-2.0
"""Where methods differ: by category, target size, expression length and type."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..language.expression_types import EXPRESSION_TYPES, classify_expression
from ..utils.command_line import Parser
from .results import MethodResults
from .statistics import score
from .tables import Cell, Table

SIZE_EDGES = (0.5, 2.0, 10.0)
"""Default limits of target sizes, percent of the image's area."""
LENGTH_EDGES = (5, 10, 20)
"""Default limits of expression lengths, words."""

Groups = dict[str, np.ndarray]
"""Name of a group -> indices of its expressions."""


class Duel(NamedTuple):
    """On how many expressions one method wins, ties and loses against another."""

    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return f'{self.wins} / {self.ties} / {self.losses}'


def duel(method: MethodResults, reference: MethodResults, margin: float) -> Duel:
    """Compares by IoU (averaged over seeds); differences up to ``margin`` are ties."""
    if not 0 <= margin <= 1:
        raise ValueError(f'the margin of a tie must be in 0...1, not {margin}')
    difference = method.iou.mean(axis=0) - reference.iou.mean(axis=0)
    wins, losses = int((difference > margin).sum()), int((difference < -margin).sum())
    return Duel(wins, difference.size - wins - losses, losses)


def group_expressions(
    results: MethodResults,
    size_edges: Sequence[float] = SIZE_EDGES,
    length_edges: Sequence[float] = LENGTH_EDGES,
) -> dict[str, Groups]:
    """Expressions by category, target size (if the files tell it), length and type.

    The edges are the highest values of all ranges but the last, in percent of the image
    and in words.
    """
    lines = results.expressions
    categories = [str(line['category']) for line in lines]
    groups = {'category': _group(categories, sorted(set(categories)))}
    if all('truth_area' in line for line in lines):
        shares = [
            100 * line['truth_area'] / (line['height'] * line['width'])
            for line in lines
        ]
        groups['target size'] = _by_range(shares, size_edges, '% of the image')
    texts = [line['expression'] for line in lines]
    lengths = [len(text.split()) for text in texts]
    groups['expression length'] = _by_range(lengths, length_edges, 'words')
    types = list(map(classify_expression, texts, categories))
    groups['expression type'] = _group(types, EXPRESSION_TYPES)
    return groups


def add_breakdown_options(parser: Parser) -> None:
    """Adds the limits that :func:`group_expressions` takes."""
    parser.add_argument(
        '--size-edges',
        type=float,
        nargs='+',
        default=SIZE_EDGES,
        metavar='PERCENT',
        help="limits of target sizes, percent of the image's area",
    )
    parser.add_argument(
        '--length-edges',
        type=float,
        nargs='+',
        default=LENGTH_EDGES,
        metavar='WORDS',
        help='limits of expression lengths',
    )


def breakdown_table(
    title: str, methods: Sequence[MethodResults], groups: Groups, margin: float = 0
) -> Table:
    """Scores of each method, and duels against the first, in each group."""
    reference, *others = methods
    scores = [f'{m.name} {key}' for m in methods for key in ('mIoU', 'oIoU')]
    duels = [f'{method.name} win / tie / loss' for method in others]
    caption = f'By {title}. IoU in percent.'
    if others:
        caption = (
            f'By {title}. IoU in percent; wins, ties and losses against '
            f'{reference.name}, ties up to {100 * margin:g} points of IoU.'
        )
    table = Table([title, 'expressions', *scores, *duels], caption=caption)
    everything = np.arange(len(reference.expressions))
    for name, chosen in {'all': everything, **groups}.items():
        parts = [method.select(chosen) for method in methods]
        cells: list[Cell] = [name, len(chosen)]
        for part in parts:
            spreads = score(part)
            cells += [spreads['mIoU'], spreads['oIoU']]
        cells += [str(duel(part, parts[0], margin)) for part in parts[1:]]
        table.add(*cells)
    return table


def _group(names: Sequence[str], order: Sequence[str]) -> Groups:
    groups = {name: np.flatnonzero(np.array(names) == name) for name in order}
    return {name: chosen for name, chosen in groups.items() if chosen.size}


def _by_range(values: Sequence[float], edges: Sequence[float], unit: str) -> Groups:
    """Groups by range; upper limits belong to the range below."""
    if list(edges) != sorted(set(edges)) or not edges:
        raise ValueError(f'limits must be ascending, not {list(edges)}')
    names = [f'up to {edges[0]:g} {unit}']
    names += [f'over {low:g} to {high:g} {unit}' for low, high in pairwise(edges)]
    names.append(f'over {edges[-1]:g} {unit}')
    index = np.searchsorted(edges, values, side='left')
    return _group([names[i] for i in index], names)
