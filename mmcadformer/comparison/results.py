# SPDX-License-Identifier: Apache-2.0
"""Per-expression results of several methods, read from files and lined up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_IDENTITY = ('dataset_name', 'image_id', 'ref_id', 'sent_id')
_REQUIRED = (*_IDENTITY, 'category', 'expression', 'intersection', 'union')
_SHARED = ('category', 'expression', 'truth_area')


@dataclass(frozen=True)
class MethodResults:
    """One method's results on the expressions that all methods were tested on.

    Attributes:
        name: The method's name.
        intersection: Pixels, (S, N) for S seeds and N expressions.
        union: Pixels, (S, N).
        lines: For each seed the N lines of its file.
    """

    name: str
    intersection: np.ndarray
    union: np.ndarray
    lines: tuple[tuple[dict, ...], ...]

    @property
    def iou(self) -> np.ndarray:
        """(S, N) in 0...1; an empty prediction of an empty truth counts 1."""
        empty = self.union == 0
        return np.where(empty, 1.0, self.intersection / np.where(empty, 1, self.union))

    @property
    def expressions(self) -> tuple[dict, ...]:
        """The N lines of the first seed, for what all files share."""
        return self.lines[0]


def read_results(path: str | Path) -> list[dict]:
    """Reads the lines that :class:`ReferringIoUMetric` wrote.

    Args:
        path: JSON lines.

    Returns:
        One dict per expression.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line isn't one of the metric's; names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no result file {path}; tools/test.py --out writes one'
        )
    lines = []
    for number, text in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}, line {number}: no JSON ({error})') from None
        missing = [
            key for key in _REQUIRED if not isinstance(line, dict) or key not in line
        ]
        if missing:
            raise ValueError(
                f'{path}, line {number} lacks {", ".join(missing)}: not a result of '
                'tools/test.py --out'
            )
        lines.append(line)
    if not lines:
        raise ValueError(f'{path} holds no result')
    return lines


def load_methods(files: dict[str, Sequence[str | Path]]) -> list[MethodResults]:
    """Reads several methods' files and puts their lines into one order.

    Args:
        files: Name of a method -> one result file for each seed.

    Returns:
        One per method, in the order given.

    Raises:
        FileNotFoundError: If a file isn't there.
        ValueError: If a file is damaged, or the files hold other expressions.
    """
    first: dict[tuple, dict] | None = None
    first_path = ''
    methods = []
    for name, paths in files.items():
        if not paths:
            raise ValueError(f'method {name!r} has no result file')
        seeds = []
        for path in paths:
            lines = _index(read_results(path), path)
            if first is None:
                first, first_path = lines, str(path)
            _check_same(first, first_path, lines, str(path))
            seeds.append(tuple(lines[key] for key in first))
        methods.append(_stack(name, seeds))
    return methods


def _stack(name: str, seeds: list[tuple[dict, ...]]) -> MethodResults:
    counts = {
        key: np.array([[line[key] for line in lines] for lines in seeds], float)
        for key in ('intersection', 'union')
    }
    return MethodResults(name, **counts, lines=tuple(seeds))


def _index(lines: list[dict], path: str | Path) -> dict[tuple, dict]:
    """Lines by what identifies their expression."""
    index: dict[tuple, dict] = {}
    for number, line in enumerate(lines, 1):
        key = tuple(line[name] for name in _IDENTITY)
        if key in index:
            raise ValueError(f'{path}, line {number}: {_describe(line)} is there twice')
        index[key] = line
    return index


def _check_same(first: dict, first_path: str, other: dict, path: str) -> None:
    """Results can only be paired on the same expressions and truth."""
    for one, one_path, two, two_path in (
        (first, first_path, other, path),
        (other, path, first, first_path),
    ):
        missing = [line for key, line in one.items() if key not in two]
        if missing:
            raise ValueError(
                f'{two_path} lacks {len(missing)} of the {len(one)} expressions of '
                f'{one_path}, e.g. {_describe(missing[0])}: compare tests of one split'
            )
    for key, line in first.items():
        for field in _SHARED:
            if line.get(field) != other[key].get(field):
                raise ValueError(
                    f'{first_path} and {path} disagree on the {field} of '
                    f'{_describe(line)}: {line.get(field)!r} and '
                    f'{other[key].get(field)!r}. Were they tested on the same data '
                    'and at the same size?'
                )


def _describe(line: dict) -> str:
    return (
        f'{line["expression"]!r} (ref_id {line["ref_id"]}, sent_id {line["sent_id"]})'
    )
