# SPDX-License-Identifier: Apache-2.0
"""Tables as Markdown, CSV and LaTeX from one description."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .statistics import Interval, Spread

Cell = str | int | float | Spread | Interval | None
"""What a table may hold; None is unknown."""


@dataclass
class Table:
    """Rows under named columns.

    Attributes:
        columns: Titles; that of the first column is about the rows' names.
        rows: A cell for each column.
        caption: What the numbers are; a sentence or several.
        digits: Decimal places of numbers in Markdown and LaTeX; integers have none.
        digits_of: Exceptions, by column.
    """

    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    caption: str = ''
    digits: int = 2
    digits_of: dict[str, int] = field(default_factory=dict)

    def add(self, *cells: Cell) -> None:
        """Adds a row.

        Raises:
            ValueError: If it has too few or too many cells.
        """
        if len(cells) != len(self.columns):
            raise ValueError(
                f'{len(cells)} cells for {len(self.columns)} columns: {cells}'
            )
        self.rows.append(cells)

    def format(self, plus_minus: str, dash: str) -> list[list[str]]:
        """The cells as people read them.

        Args:
            plus_minus: Stands between mean and standard deviation.
            dash: Stands for what is unknown.
        """
        return [
            [
                _format(cell, self.digits_of.get(title, self.digits), plus_minus, dash)
                for title, cell in zip(self.columns, row, strict=True)
            ]
            for row in self.rows
        ]


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown, its caption above."""
    rows = [[_escape_markdown(cell) for cell in row] for row in table.format('±', '-')]
    header = [_escape_markdown(title) for title in table.columns]
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]
    numeric = _numeric_columns(table)
    rule = [
        '-' * (width - 1) + ':' if right else '-' * width
        for width, right in zip(widths, numeric, strict=True)
    ]
    lines = [
        '| '
        + ' | '.join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        + ' |'
        for row in (header, rule, *rows)
    ]
    caption = [table.caption, ''] if table.caption else []
    return '\n'.join([*caption, *lines]) + '\n'


def to_csv(table: Table) -> str:
    """Numbers in full; spread and interval have columns of their own."""
    rows = table.rows
    columns = zip(*rows, strict=True) if rows else [()] * len(table.columns)
    parts = [
        part
        for title, cells in zip(table.columns, columns, strict=True)
        for part in _csv_columns(title, cells)
    ]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow([name for name, _ in parts])
    writer.writerows(zip(*(values for _, values in parts), strict=True))
    return file.getvalue()


def to_latex(table: Table) -> str:
    """A table environment in the style of the booktabs package."""
    rows = [
        [_escape_latex(cell) for cell in row] for row in table.format(PLUS_MINUS, '--')
    ]
    header = [_escape_latex(title) for title in table.columns]
    align = ''.join('r' if right else 'l' for right in _numeric_columns(table))
    body = [' & '.join(row) + r' \\' for row in rows]
    return '\n'.join(
        [
            '% needs booktabs',
            r'\begin{table}',
            r'\centering',
            rf'\caption{{{_escape_latex(table.caption)}}}',
            rf'\begin{{tabular}}{{{align}}}',
            r'\toprule',
            ' & '.join(header) + r' \\',
            r'\midrule',
            *body,
            r'\bottomrule',
            r'\end{tabular}',
            r'\end{table}',
            '',
        ]
    )


def write_tables(table: Table, path: Path) -> list[Path]:
    """Writes ``path`` with the endings .md, .csv and .tex.

    Returns:
        The three files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, convert in (('.md', to_markdown), ('.csv', to_csv), ('.tex', to_latex)):
        written.append(path.with_name(path.name + ending))
        written[-1].write_text(convert(table), encoding='utf-8')
    return written


PLUS_MINUS = '\N{PLUS-MINUS SIGN}'
_LATEX = {
    '\\': r'\textbackslash{}',
    '&': r'\&',
    '%': r'\%',
    '$': r'\$',
    '#': r'\#',
    '_': r'\_',
    '{': r'\{',
    '}': r'\}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    PLUS_MINUS: r'$\pm$',
}

# Suffix of the column in CSV -> what it holds.
_CSV_FIELDS = {
    Spread: {'': 'mean', ' std': 'std'},
    Interval: {'': 'difference', ' low': 'low', ' high': 'high'},
}


def _format(cell: Cell, digits: int, plus_minus: str, dash: str) -> str:
    if cell is None:
        return dash
    if isinstance(cell, Spread):
        mean = f'{cell.mean:.{digits}f}'
        return (
            mean if cell.std is None else f'{mean} {plus_minus} {cell.std:.{digits}f}'
        )
    if isinstance(cell, Interval):
        low, high = (f'{end:+.{digits}f}' for end in (cell.low, cell.high))
        return f'{cell.difference:+.{digits}f} [{low}, {high}]'
    if isinstance(cell, float):
        return f'{cell:.{digits}f}'
    return str(cell)


def _numeric_columns(table: Table) -> list[bool]:
    """Which columns hold numbers, and so are aligned on the right."""
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns)
    return [
        bool(cells) and not any(isinstance(cell, str) for cell in cells)
        for cells in columns
    ]


def _csv_columns(title: str, cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Columns that a column becomes in CSV: titles and values."""
    for kind, fields in _CSV_FIELDS.items():
        if any(isinstance(cell, kind) for cell in cells):
            return [
                (title + suffix, [_attribute(cell, name) for cell in cells])
                for suffix, name in fields.items()
            ]
    return [(title, [_plain(cell) for cell in cells])]


def _attribute(cell: Cell, name: str) -> Cell:
    return _plain(getattr(cell, name)) if isinstance(cell, Spread | Interval) else ''


def _plain(cell: Cell) -> Cell:
    return '' if cell is None else cell


def _escape_markdown(text: str) -> str:
    return ' '.join(text.split()).replace('|', r'\|')


def _escape_latex(text: str) -> str:
    return ''.join(_LATEX.get(letter, letter) for letter in text)
