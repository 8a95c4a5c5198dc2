# SPDX-License-Identifier: Apache-2.0
"""Tables as Markdown, CSV and LaTeX from one description."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import DataRow, simple_separated_format, tabulate

from ..utils.files import write_text
from .statistics import Estimate, Interval, Spread

Cell = str | int | float | Spread | Estimate | Interval | None
"""What a table may hold; None is unknown."""

_PIPES = simple_separated_format('|')._replace(
    datarow=DataRow('|', '|', '|'), padding=1
)
_LATEX = str.maketrans(
    {
        **{letter: rf'\{letter}' for letter in '&%$#_{}'},
        '\\': r'\textbackslash{}',
        '~': r'\textasciitilde{}',
        '^': r'\textasciicircum{}',
        '<': r'\textless{}',
        '>': r'\textgreater{}',
        '±': r'$\pm$',
    }
)


@dataclass
class Table:
    """Rows, with a cell for each of the named columns."""

    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)
    caption: str = ''

    def add(self, *cells: Cell) -> None:
        """Adds a row."""
        if len(cells) != len(self.columns):
            raise ValueError(
                f'{len(cells)} cells for {len(self.columns)} columns: {cells}'
            )
        self.rows.append(cells)

    def texts(self, unknown: str) -> list[list[str]]:
        """Titles and cells as people read them, numbers rounded."""
        rows = [[_text(cell, unknown) for cell in row] for row in self.rows]
        return [[*self.columns], *rows]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, and so are aligned on the right."""
        return [
            bool(self.rows) and not any(isinstance(row[i], str) for row in self.rows)
            for i in range(len(self.columns))
        ]


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown, its caption above."""
    header, *rows = (
        [' '.join(text.split()).replace('|', r'\|') for text in row]
        for row in table.texts('-')
    )
    rule = []
    for right, *cells in zip(table.numeric, header, *rows, strict=True):
        width = max(3, *map(len, cells))
        rule.append('-' * (width - 1) + ':' if right else '-' * width)
    align = ['right' if right else 'left' for right in table.numeric]
    text = tabulate(
        [header, rule, *rows], tablefmt=_PIPES, colalign=align, disable_numparse=True
    )
    return f'{table.caption}\n\n{text}\n' if table.caption else f'{text}\n'


def to_csv(table: Table) -> str:
    """Numbers in full; spread and interval have columns of their own.

    Text that begins as a formula does has an apostrophe before it.
    """
    columns = [
        part
        for i, title in enumerate(table.columns)
        for part in _csv_columns(title, [row[i] for row in table.rows])
    ]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    rows: list[Sequence[Cell]] = [[title for title, _ in columns]]
    rows += zip(*(cells for _, cells in columns), strict=True)
    writer.writerows([_without_formula(cell) for cell in row] for row in rows)
    return file.getvalue()


def to_latex(table: Table) -> str:
    """A table environment in the style of the booktabs package."""
    header, *rows = (
        ' & '.join(cell.translate(_LATEX) for cell in row) + r' \\'
        for row in table.texts('--')
    )
    align = ''.join('r' if right else 'l' for right in table.numeric)
    lines = [
        '% needs booktabs',
        r'\begin{table}',
        r'\centering',
        rf'\caption{{{table.caption.translate(_LATEX)}}}',
        rf'\begin{{tabular}}{{{align}}}',
        r'\toprule',
        header,
        r'\midrule',
        *rows,
        r'\bottomrule',
        r'\end{tabular}',
        r'\end{table}',
    ]
    return '\n'.join(lines) + '\n'


def write_tables(table: Table, path: Path) -> list[Path]:
    """Writes ``path`` with the endings .md, .csv and .tex; returns the files."""
    written = []
    for ending, convert in (('.md', to_markdown), ('.csv', to_csv), ('.tex', to_latex)):
        written.append(path.with_name(path.name + ending))
        write_text(written[-1], convert(table))
    return written


def _text(cell: Cell, unknown: str) -> str:
    if cell is None:
        return unknown
    return str(cell) if isinstance(cell, str | int) else f'{cell:.2f}'


def _without_formula(cell: Cell) -> Cell:
    """Text that a spreadsheet doesn't take for a formula to compute."""
    if not isinstance(cell, str) or not cell.startswith(('=', '+', '-', '@', '\t')):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell


def _csv_columns(title: str, cells: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """Columns that a column becomes in CSV: titles and values."""
    parts = {'': ''}
    if any(isinstance(cell, Spread) for cell in cells):
        parts = {'': 'mean', ' std': 'std'}
    elif any(isinstance(cell, Estimate) for cell in cells):
        parts = {'': 'value', ' low': 'low', ' high': 'high'}
    elif any(isinstance(cell, Interval) for cell in cells):
        parts = {'': 'difference', ' low': 'low', ' high': 'high'}
    for suffix, part in parts.items():
        values = [getattr(cell, part, None) if part else cell for cell in cells]
        yield title + suffix, ['' if value is None else value for value in values]
