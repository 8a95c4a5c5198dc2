# SPDX-License-Identifier: Apache-2.0
"""Tables read back from each of their forms."""

import csv
import re

import pytest

from mmcadformer.comparison import Table, write_tables
from mmcadformer.comparison.statistics import Interval, Spread
from mmcadformer.comparison.tables import to_csv, to_latex, to_markdown


@pytest.fixture
def table():
    table = Table(
        ['method', 'seeds', 'mIoU', 'gain', 'GFLOPs'], caption='Share of 50 % & more.'
    )
    table.add('a_b|c', 2, Spread(61.234, 0.567), None, 468.14)
    table.add('ours', 1, Spread(65.0, None), Interval(3.766, -0.1, 7.5, 0.95), 5.0)
    table.add('none', 0, None, None, None)
    return table


CELLS = [
    ['a_b|c', '2', '61.23 ± 0.57', '-', '468.14'],
    ['ours', '1', '65.00', '+3.77 [-0.10, +7.50]', '5.00'],
    ['none', '0', '-', '-', '-'],
]


def test_markdown(table):
    caption, blank, *lines = to_markdown(table).splitlines()
    assert caption == table.caption and not blank
    assert len({len(line) for line in lines}) == 1
    split = re.compile(r'(?<!\\)\|')
    rows = [[c.strip() for c in split.split(line)[1:-1]] for line in lines]
    assert rows[0] == table.columns
    # Names on the left, numbers on the right.
    assert [rule.endswith(':') for rule in rows[1]] == [False] + 4 * [True]
    assert [[cell.replace(r'\|', '|') for cell in row] for row in rows[2:]] == CELLS


def test_csv(table):
    first, second, third = csv.DictReader(to_csv(table).splitlines())
    assert list(first) == [
        'method', 'seeds', 'mIoU', 'mIoU std', 'gain', 'gain low', 'gain high', 'GFLOPs'
    ]  # fmt: skip
    assert first['method'] == 'a_b|c' and float(first['mIoU std']) == 0.567
    assert first['gain'] == first['gain high'] == second['mIoU std'] == ''
    assert [float(second[f'gain{x}']) for x in ('', ' low', ' high')] == [
        3.766, -0.1, 7.5
    ]  # fmt: skip
    assert third == dict.fromkeys(third, '') | dict(method='none', seeds='0')


def test_latex(table):
    text = to_latex(table)
    assert r'\caption{Share of 50 \% \& more.}' in text
    assert r'\begin{tabular}{lrrrr}' in text
    rows = [line[:-3].split(' & ') for line in text.splitlines() if line[-2:] == r'\\']
    assert rows[0] == table.columns
    plain = [
        [
            cell.replace(r'$\pm$', '±').replace(r'\_', '_').replace('--', '-')
            for cell in row
        ]
        for row in rows[1:]
    ]
    assert plain == CELLS
    for environment in ('table', 'tabular'):
        assert text.count(rf'\begin{{{environment}}}') == 1
        assert text.count(rf'\end{{{environment}}}') == 1


def test_files(table, tmp_path):
    files = write_tables(table, tmp_path / 'new' / 'scores.v1')
    assert [file.name for file in files] == [
        'scores.v1.md', 'scores.v1.csv', 'scores.v1.tex'
    ]  # fmt: skip
    assert files[0].read_text(encoding='utf-8') == to_markdown(table)


def test_empty_table_and_wrong_row():
    table = Table(['a', 'b'])
    assert to_csv(table) == 'a,b\n'
    assert to_markdown(table).splitlines() == ['| a   | b   |', '| --- | --- |']
    assert r'\begin{tabular}{ll}' in to_latex(table)
    with pytest.raises(ValueError, match='1 cells for 2 columns'):
        table.add('x')


def read_table(path, caption):
    """A table back from its CSV."""

    def number(text):
        return None if text == '' else float(text)

    with open(path, encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    titles = [name for name in rows[0] if not name.endswith((' std', ' low', ' high'))]
    table = Table(titles, caption=caption)
    for row in rows:
        cells = []
        for title in titles:
            if f'{title} std' in row:
                cells.append(Spread(number(row[title]), number(row[f'{title} std'])))
            elif f'{title} low' in row:
                ends = [number(row[f'{title} {end}']) for end in ('low', 'high')]
                cells.append(Interval(number(row[title]), *ends, 0.95))
            elif title in ('method', 'compared with'):
                cells.append(row[title])
            else:
                cells.append(
                    int(row[title]) if title == 'seeds' else number(row[title])
                )
        table.add(*cells)
    return table


@pytest.mark.parametrize('index, name', [(0, 'scores'), (1, 'differences')])
def test_published_results_are_written_the_same_again(repo_root, index, name):
    folder = repo_root / 'projects/cadformer/results/synthrs'
    page = (folder / 'ablation.md').read_text(encoding='utf-8')
    captions = [line for line in page.splitlines() if 'over seeds' in line]
    table = read_table(folder / f'{name}.csv', captions[index])
    assert to_markdown(table) in page
    for ending, convert in (('csv', to_csv), ('tex', to_latex)):
        written = (folder / f'{name}.{ending}').read_text(encoding='utf-8')
        assert convert(table) == written


def test_text_is_no_formula_in_a_spreadsheet():
    table = Table(['=1+1', 'value'])
    for cell in ('=cmd()', '+1-1', '-a', '@x', '\tx', '-1.5', 'a=b', ''):
        table.add(cell, -2.5)
    rows = list(csv.reader(to_csv(table).splitlines()))
    first = ["'=1+1", "'=cmd()", "'+1-1", "'-a", "'@x", "'\tx", '-1.5', 'a=b', '']
    assert [row[0] for row in rows] == first
    assert {row[1] for row in rows[1:]} == {'-2.5'}
