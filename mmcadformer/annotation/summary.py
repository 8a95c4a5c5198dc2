# SPDX-License-Identifier: Apache-2.0
"""Objects per category and split, as in the paper's Table I."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .splits import SPLITS


def count_table(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Counts objects.

    Args:
        pairs: Category and split of each object.

    Returns:
        Number by category, and in it by split and 'total'; the last category
        is 'total'.
    """
    counts = Counter(pairs)
    categories = sorted({category for category, _ in counts})
    extra = sorted({split for _, split in counts} - set(SPLITS))
    table = {
        category: {split: counts[category, split] for split in (*SPLITS, *extra)}
        for category in categories
    }
    table['total'] = {
        split: sum(row[split] for row in table.values()) for split in (*SPLITS, *extra)
    }
    for row in table.values():
        row['total'] = sum(row.values())
    return table


def format_table(table: dict[str, dict[str, int]]) -> str:
    """Writes the table in Markdown."""
    columns = list(table['total'])
    rows = [['category', *columns]]
    rows += [
        [name, *(str(row[column]) for column in columns)] for name, row in table.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    rule = ['-' * widths[0], *('-' * (width - 1) + ':' for width in widths[1:])]
    lines.insert(1, '| ' + ' | '.join(rule) + ' |')
    return '\n'.join(lines)


def _line(row, widths):
    cells = [row[0].ljust(widths[0])]
    numbers = zip(row[1:], widths[1:], strict=True)
    cells += [cell.rjust(width) for cell, width in numbers]
    return '| ' + ' | '.join(cells) + ' |'
