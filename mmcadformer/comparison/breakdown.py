# SPDX-License-Identifier: Apache-2.0
"""Where methods differ: by category, target size, expression length and type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..language.expression_types import EXPRESSION_TYPES, classify_expression
from .results import MethodResults
from .statistics import score
from .tables import Table

SIZE_EDGES = (0.5, 2.0, 10.0)
"""Default limits of target sizes, percent of the image's area."""
LENGTH_EDGES = (5, 10, 20)
"""Default limits of expression lengths, words."""


@dataclass(frozen=True)
class Duel:
    """On how many expressions one method is better than another.

    Attributes:
        wins, ties, losses: Expressions, seen from the first method.
    """

    wins: int
    ties: int
    losses: int

    def __str__(self) -> str:
        return f'{self.wins} / {self.ties} / {self.losses}'


def duel(method: MethodResults, reference: MethodResults, margin: float) -> Duel:
    """Counts wins, ties and losses by IoU, averaged over seeds.

    Args:
        method, reference: Results on the same expressions.
        margin: Differences up to this count as ties; 0...1.

    Raises:
        ValueError: If ``margin`` isn't in 0...1.
    """
    if not 0 <= margin <= 1:
        raise ValueError(f'the margin of a tie must be in 0...1, not {margin}')
    difference = method.iou.mean(axis=0) - reference.iou.mean(axis=0)
    wins, losses = int((difference > margin).sum()), int((difference < -margin).sum())
    return Duel(wins, difference.size - wins - losses, losses)


def select(results: MethodResults, chosen: np.ndarray) -> MethodResults:
    """Results on some of the expressions.

    Args:
        results: On N expressions.
        chosen: Their indices.
    """
    return replace(
        results,
        intersection=results.intersection[:, chosen],
        union=results.union[:, chosen],
        lines=tuple(tuple(lines[i] for i in chosen) for lines in results.lines),
    )


def group_by_category(results: MethodResults) -> dict[str, np.ndarray]:
    """Indices of the expressions about each category, in alphabetical order."""
    names = [str(line['category']) for line in results.expressions]
    return _group(names, sorted(set(names)))


def group_by_type(results: MethodResults) -> dict[str, np.ndarray]:
    """Indices of the expressions of each type, see :func:`classify_expression`."""
    names = [
        classify_expression(line['expression'], str(line['category']))
        for line in results.expressions
    ]
    return _group(names, EXPRESSION_TYPES)


def group_by_length(
    results: MethodResults, edges: Sequence[float] = LENGTH_EDGES
) -> dict[str, np.ndarray]:
    """Indices of the expressions of each length in words.

    Args:
        results: Any method's.
        edges: Highest lengths of all ranges but the last.
    """
    lengths = [len(line['expression'].split()) for line in results.expressions]
    return _group_by_range(lengths, edges, 'words')


def group_by_size(
    results: MethodResults, edges: Sequence[float] = SIZE_EDGES
) -> dict[str, np.ndarray] | None:
    """Indices of the expressions about targets of each size.

    Args:
        results: Any method's.
        edges: Highest sizes of all ranges but the last, percent of the image.

    Returns:
        None if the files don't tell the size of the target.
    """
    lines = results.expressions
    if any('truth_area' not in line for line in lines):
        return None
    shares = [
        100 * line['truth_area'] / (line['height'] * line['width']) for line in lines
    ]
    return _group_by_range(shares, edges, '% of the image')


def breakdown_table(
    title: str,
    methods: Sequence[MethodResults],
    groups: dict[str, np.ndarray],
    margin: float,
) -> Table:
    """Scores of each method, and duels against the first, in each group.

    Args:
        title: What the groups are.
        methods: Two or more; the first is the reference.
        groups: Name -> indices of expressions.
        margin: See :func:`duel`.
    """
    reference, *others = methods
    columns = [title, 'expressions']
    for method in methods:
        columns += [f'{method.name} mIoU', f'{method.name} oIoU']
    for method in others:
        columns.append(f'{method.name} win / tie / loss')
    table = Table(
        columns,
        caption=f'By {title}. IoU in percent; wins, ties and losses against '
        f'{reference.name}, ties up to {100 * margin:g} points of IoU.',
    )
    everything = np.arange(reference.iou.shape[1])
    for name, chosen in {'all': everything, **groups}.items():
        parts = [select(method, chosen) for method in methods]
        cells = [name, len(chosen)]
        for part in parts:
            scores = score(part)
            cells += [scores['mIoU'], scores['oIoU']]
        cells += [str(duel(part, parts[0], margin)) for part in parts[1:]]
        table.add(*cells)
    return table


def _group(names: Sequence[str], order: Sequence[str]) -> dict[str, np.ndarray]:
    names = np.array(names)
    groups = {name: (names == name).nonzero()[0] for name in order}
    return {name: chosen for name, chosen in groups.items() if chosen.size}


def _group_by_range(
    values: Sequence[float], edges: Sequence[float], unit: str
) -> dict[str, np.ndarray]:
    """Indices by range; upper limits belong to the range below."""
    if list(edges) != sorted(set(edges)) or not edges:
        raise ValueError(f'limits must be ascending, not {list(edges)}')
    names = [f'up to {edges[0]:g} {unit}']
    names += [f'over {low:g} to {high:g} {unit}' for low, high in pairwise(edges)]
    names.append(f'over {edges[-1]:g} {unit}')
    index = np.searchsorted(edges, values, side='left')
    return _group([names[i] for i in index], names)
