# SPDX-License-Identifier: Apache-2.0
"""Each equation of the paper is where the page says, and marked there."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'projects' / 'cadformer' / 'equations.md'
ROW = re.compile(r'^\| \((\d+)\) \| (.+) \| `([^`]+)` \| (.+) \|$', re.MULTILINE)
MARK = re.compile(r'\S  # (Eq\. \(\d+\)(?:, Eq\. \(\d+\))*)$')


class Place(NamedTuple):
    equation: int
    file: str
    symbol: str


def listed_places() -> list[Place]:
    return [
        Place(int(number), file, symbol)
        for number, _, file, symbols in ROW.findall(PAGE.read_text())
        for symbol in re.findall(r'`([^`]+)`', symbols)
    ]


def spans(file: str) -> dict[str, range]:
    """Lines of every class, function and keyword of a file, by dotted name."""
    found = {}

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            name = getattr(child, 'name', None)
            if isinstance(child, ast.keyword):
                name = child.arg
            elif isinstance(child, ast.Assign):
                name = getattr(child.targets[0], 'id', None)
            dotted = f'{prefix}.{name}'.strip('.') if name else prefix
            if name:
                found[dotted] = range(child.lineno, child.end_lineno + 1)
            visit(child, dotted)

    visit(ast.parse((ROOT / file).read_text()), '')
    return found


def marks(file: Path) -> list[tuple[int, int]]:
    """Equation and line of each mark."""
    return [
        (int(equation), line)
        for line, text in enumerate(file.read_text().splitlines(), start=1)
        if (mark := MARK.search(text))
        for equation in re.findall(r'\d+', mark.group(1))
    ]


def test_the_page_lists_every_equation_of_the_paper_in_order():
    equations = [place.equation for place in listed_places()]
    assert sorted(set(equations)) == list(range(1, 16))
    assert equations == sorted(equations)


@pytest.mark.parametrize('place', listed_places(), ids=str)
def test_a_listed_place_holds_its_mark(place):
    lines = spans(place.file)[place.symbol]
    assert [line for equation, line in marks(ROOT / place.file)
            if equation == place.equation and line in lines]  # fmt: skip


def test_every_mark_is_listed():
    places = listed_places()
    count = 0
    for folder in ('mmcadformer', 'configs', 'projects'):
        for path in sorted((ROOT / folder).rglob('*.py')):
            file = path.relative_to(ROOT).as_posix()
            for equation, line in marks(path):
                count += 1
                assert any(
                    place.equation == equation
                    and place.file == file
                    and line in spans(file)[place.symbol]
                    for place in places
                    if place.file == file
                ), f'{file}:{line} computes Eq. ({equation}), which the page leaves out'
    assert count >= 15


def test_marks_have_one_spelling():
    """A comment that ends a line of code and speaks of an equation is a mark."""
    comment = re.compile(r'\S.*#.*\b(Eqs?|[Ee]quations?)\b')
    for folder in ('mmcadformer', 'configs', 'projects'):
        for path in (ROOT / folder).rglob('*.py'):
            for number, text in enumerate(path.read_text().splitlines(), start=1):
                if comment.search(text) and not text.lstrip().startswith('#'):
                    assert MARK.search(text), f'{path}:{number}: {text}'
