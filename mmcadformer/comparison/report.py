# SPDX-License-Identifier: Apache-2.0
"""Tables of scores and differences, and the page that says what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from mmengine.utils import get_git_hash

from ..evaluation import summarize
from ..utils.command_line import Parser
from ..utils.files import write_text
from .costs import Cost
from .results import MethodResults
from .statistics import bootstrap, paired_bootstrap, score
from .tables import Cell, Table, to_markdown

_SCORES = tuple(summarize([0], [0]))
_COSTS = ('parameters, M', 'FLOPs, G', 'latency, ms', 'latency, ratio')
GROUPINGS = ('expression', 'image')


def add_bootstrap_options(parser: Parser, drawn: str = 'expression') -> None:
    """Adds what :func:`estimate_table` takes; ``drawn`` is the default."""
    parser.add_argument(
        '--bootstrap',
        choices=GROUPINGS,
        default=drawn,
        help='what is drawn: expressions, or images with all their expressions '
        '(default: %(default)s)',
    )
    parser.add_argument('--resamples', type=int, default=10_000)
    parser.add_argument('--level', type=float, default=0.95, help='confidence')


def add_difference_options(parser: Parser) -> None:
    """Adds what :func:`choose_pairs` and :func:`difference_table` take."""
    parser.add_argument(
        '--pairs',
        choices=['reference', 'all'],
        default='reference',
        help='differences of each method from the reference, or of any two',
    )
    add_bootstrap_options(parser)


def score_table(
    names: Sequence[str],
    results: Sequence[MethodResults],
    costs: dict[str, Cost] | None = None,
) -> Table:
    """Scores and costs, one row per method, also those without a result yet."""
    found = {method.name: method for method in results}
    caption = 'Mean ± standard deviation over seeds, percent.'
    if results:
        caption = f'{len(results[0].expressions)} expressions. {caption}'
    columns = ['method', 'seeds', *_SCORES, *(() if costs is None else _COSTS)]
    table = Table(columns, caption=caption)
    for name in names:
        cells: list[Cell] = [name, 0, *(None for _ in _SCORES)]
        if name in found:
            cells = [name, len(found[name].lines), *score(found[name]).values()]
        if costs is not None:
            cost = costs[name]
            cells += [cost.parameters / 1e6, cost.flops / 1e9]
            cells += [cost.milliseconds, cost.ratio]
        table.add(*cells)
    return table


def difference_table(
    results: Sequence[MethodResults],
    pairs: Sequence[tuple[str, str]],
    grouping: str = 'expression',
    resamples: int = 10_000,
    level: float = 0.95,
) -> Table:
    """Differences of mIoU and oIoU with bootstrap intervals.

    Pairs without results are left out. What is drawn is an 'expression', or an 'image'
    with all of its own.
    """
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
        groups = _drawn_together(found[name], grouping)
        intervals = paired_bootstrap(
            found[name], found[other], groups, resamples, level
        )
        table.add(name, other, intervals['mIoU'], intervals['oIoU'])
    return table


def estimate_table(
    results: Sequence[MethodResults],
    grouping: str = 'image',
    resamples: int = 10_000,
    level: float = 0.95,
) -> Table:
    """Scores of each method with bootstrap intervals, one score a row.

    What is drawn is an 'expression', or an 'image' with all of its own.
    """
    names = [method.name for method in results]
    table = Table(
        ['score', *names],
        caption=f'{len(results[0].expressions)} expressions, percent, '
        f'protocol {results[0].protocol.name}; {level:.0%} intervals: bootstrap over '
        f'{grouping}s, {resamples} draws.',
    )
    estimates = [
        bootstrap(method, _drawn_together(method, grouping), resamples, level)
        for method in results
    ]
    for name in _SCORES:
        table.add(name, *(scores[name] for scores in estimates))
    return table


def _drawn_together(results: MethodResults, grouping: str) -> list[tuple] | None:
    """For each expression what is drawn as a whole; None for single expressions."""
    if grouping not in GROUPINGS:
        raise ValueError(f'grouping must be one of {GROUPINGS}, not {grouping!r}')
    if grouping == 'expression':
        return None
    lines = results.expressions
    return [(line['dataset_name'], line['image_id']) for line in lines]


def choose_pairs(
    names: Sequence[str], reference: str, every: bool
) -> list[tuple[str, str]]:
    """Pairs to compare: each method with the reference, or all pairs."""
    if not every:
        return [(name, reference) for name in names if name != reference]
    return [(one, two) for i, one in enumerate(names) for two in names[:i]]


def write_page(path: Path, tables: Sequence[Table], notes: dict[str, str]) -> str:
    """Writes tables and, below, how they came about, in Markdown; returns the page."""
    today = datetime.now(timezone.utc).strftime('%Y-%m-%d')
    commit = get_git_hash(fallback='none', digits=12)
    notes = {**notes, 'date': today, 'commit of the working folder': commit}
    lines = [f'- {name}: {text}\n' for name, text in notes.items()]
    page = '\n'.join([*map(to_markdown, tables), ''.join(lines)])
    write_text(path, page)
    return page
