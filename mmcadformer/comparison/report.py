# SPDX-License-Identifier: Apache-2.0
"""Tables of an ablation, and the page that says what they rest on."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch
from mmengine.utils import get_git_hash

from ..utils import device_name
from .costs import Cost
from .results import MethodResults
from .statistics import THRESHOLDS, paired_bootstrap, score
from .tables import Table, to_markdown

_SCORES = ('mIoU', 'oIoU', *(f'Pr@{x:g}' for x in THRESHOLDS))
_COSTS = ('parameters, M', 'FLOPs, G', 'latency, ms', 'latency, ratio')
GROUPINGS = ('expression', 'image')


def score_table(
    names: Sequence[str],
    results: Sequence[MethodResults],
    costs: dict[str, Cost] | None = None,
) -> Table:
    """Scores and costs, one row per method.

    Args:
        names: All methods, also those without a result yet.
        results: Of the methods that have any.
        costs: Of all methods; None leaves them out.
    """
    found = {method.name: method for method in results}
    columns = ['method', 'seeds', *_SCORES, *(() if costs is None else _COSTS)]
    table = Table(columns, caption=_score_caption(results))
    for name in names:
        scores, seeds = dict.fromkeys(_SCORES), 0
        if name in found:
            scores, seeds = score(found[name]), len(found[name].lines)
        cells = [] if costs is None else _cost_cells(costs[name])
        table.add(name, seeds, *scores.values(), *cells)
    return table


def _score_caption(results: Sequence[MethodResults]) -> str:
    caption = 'Mean ± standard deviation over seeds, percent.'
    if results:
        count = results[0].iou.shape[1]
        caption = f'{count} expressions. {caption}'
    return caption


def _cost_cells(cost: Cost) -> list[float | None]:
    millions, billions = cost.parameters / 1e6, cost.flops / 1e9
    return [millions, billions, cost.milliseconds, cost.ratio]


def difference_table(
    results: Sequence[MethodResults],
    pairs: Sequence[tuple[str, str]],
    grouping: str = 'expression',
    resamples: int = 10_000,
    level: float = 0.95,
) -> Table:
    """Differences of mIoU and oIoU with bootstrap intervals.

    Args:
        results: Of the methods.
        pairs: Method and what it is compared with; pairs without results are left
            out.
        grouping: What is drawn: an 'expression', or an 'image' with all of its
            expressions.
        resamples, level: See :func:`paired_bootstrap`.

    Raises:
        ValueError: If the grouping is unknown.
    """
    if grouping not in GROUPINGS:
        raise ValueError(f'grouping must be one of {GROUPINGS}, not {grouping!r}')
    found = {method.name: method for method in results}
    table = Table(
        ['method', 'compared with', 'mIoU difference', 'oIoU difference'],
        caption=f'Differences in percentage points with {level:.0%} intervals: paired '
        f'bootstrap over {grouping}s, {resamples} draws, scores averaged over seeds. '
        'An interval is about the choice of test data, not about the seed.',
    )
    for name, other in pairs:
        if name not in found or other not in found:
            continue
        groups = None
        if grouping == 'image':
            lines = found[name].expressions
            groups = [(line['dataset_name'], line['image_id']) for line in lines]
        intervals = paired_bootstrap(
            found[name], found[other], groups, resamples, level
        )
        table.add(name, other, intervals['mIoU'], intervals['oIoU'])
    return table


def choose_pairs(
    names: Sequence[str], reference: str, every: bool
) -> list[tuple[str, str]]:
    """Pairs to compare: each method with the reference, or all pairs."""
    if not every:
        return [(name, reference) for name in names if name != reference]
    return [(one, two) for i, one in enumerate(names) for two in names[:i]]


def describe_machine(device: str) -> str:
    """The hardware and the versions that numbers hold for."""
    python = platform.python_version()
    return f'{device_name(device)}; Python {python}, PyTorch {torch.__version__}'


def write_page(path: Path, tables: Sequence[Table], notes: dict[str, str]) -> None:
    """Writes a page with tables and, below them, how they came about.

    Args:
        path: Markdown file.
        tables: In order.
        notes: Name -> text, e.g. the command.
    """
    today = datetime.now(timezone.utc).strftime('%Y-%m-%d')
    commit = get_git_hash(fallback='none', digits=12)
    notes = {**notes, 'date': today, 'commit of the working folder': commit}
    parts = [to_markdown(table) for table in tables]
    parts.append('\n'.join(f'- {name}: {text}' for name, text in notes.items()) + '\n')
    path.write_text('\n'.join(parts), encoding='utf-8')
