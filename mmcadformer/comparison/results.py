# SPDX-License-Identifier: Apache-2.0
"""Per-expression results of several methods, read from files and lined up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation import EXACT, Protocol, find_protocol
from ..utils.plain_data import parse_json, read_lines, shorten

_IDENTITY = ('dataset_name', 'image_id', 'ref_id', 'sent_id')
_REQUIRED = (*_IDENTITY, 'category', 'expression', 'intersection', 'union')
_COUNTS = ('intersection', 'union', 'truth_area', 'pred_area')
_SHARED = ('protocol', 'category', 'expression', 'truth_area')

Line = dict[str, Any]
"""What is known of one expression."""


@dataclass(frozen=True)
class MethodResults:
    """One method's results on the expressions that all methods were tested on."""

    name: str
    intersection: np.ndarray  # pixels, (S, N) for S seeds and N expressions
    union: np.ndarray  # likewise
    lines: tuple[tuple[Line, ...], ...]  # for each seed the N lines of its file

    @property
    def protocol(self) -> Protocol:
        """How the files' masks were compared."""
        return find_protocol(self.lines[0][0]['protocol'])

    @property
    def iou(self) -> np.ndarray:
        """(S, N) in 0...1."""
        return ratio(self.intersection, self.union, self.protocol.empty_iou)

    @property
    def expressions(self) -> tuple[Line, ...]:
        """The N lines of the first seed, for what all files share."""
        return self.lines[0]

    def select(self, chosen: np.ndarray) -> MethodResults:
        """Results on the expressions with these indices."""
        return replace(
            self,
            intersection=self.intersection[:, chosen],
            union=self.union[:, chosen],
            lines=tuple(tuple(lines[i] for i in chosen) for lines in self.lines),
        )


def ratio(intersection: np.ndarray, union: np.ndarray, empty: float) -> np.ndarray:
    """Of arrays of one shape; ``empty`` where the union is 0."""
    return np.where(union == 0, empty, intersection / np.where(union == 0, 1, union))


def read_results(path: str | Path) -> list[Line]:
    """Reads the lines that :class:`ReferringIoUMetric` wrote, one per expression."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no result file {path}; tools/test.py --out writes one'
        )
    lines = []
    for number, text in read_lines(path):
        try:
            line = parse_json(text)
        except ValueError as error:
            raise ValueError(f'{path}, line {number}: {error}') from None
        there = line if isinstance(line, dict) else ()
        missing = [key for key in _REQUIRED if key not in there]
        if missing:
            raise ValueError(
                f'{path}, line {number} lacks {", ".join(missing)}: not a result of '
                'tools/test.py --out'
            )
        line.setdefault('protocol', EXACT.name)
        _check_values(line, f'{path}, line {number}')
        lines.append(line)
        if line['protocol'] != lines[0]['protocol']:
            raise ValueError(
                f'{path}, line {number} is of protocol={line["protocol"]!r}, those '
                f'before it of {lines[0]["protocol"]!r}'
            )
    if not lines:
        raise ValueError(f'{path} holds no result')
    return lines


def _check_values(line: Line, where: str) -> None:
    """Refuses counts that no test can have given, and ids that can't be compared."""
    for key in (*_IDENTITY, 'category', 'expression'):
        if not isinstance(line[key], (str, int)):
            raise ValueError(
                f'{where}: {key} must be text or a number, got {shorten(line[key])}'
            )
    try:
        find_protocol(line['protocol'])
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from None
    counts = {key: line[key] for key in _COUNTS if line.get(key) is not None}
    for key, value in counts.items():
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or not 0 <= value < inf or value != int(value):
            raise ValueError(
                f'{where}: {key} must be a number of pixels, got {shorten(value)}'
            )
    if line['intersection'] > line['union']:
        raise ValueError(
            f'{where}: the intersection {line["intersection"]} is larger than the '
            f'union {line["union"]}'
        )


def load_methods(files: Mapping[str, Sequence[str | Path]]) -> list[MethodResults]:
    """Reads methods' files, one a seed, and puts their lines into one order."""
    first: tuple[str | Path, dict[tuple, Line]] | None = None
    methods = []
    for name, paths in files.items():
        if not paths:
            raise ValueError(f'method {name!r} has no result file')
        seeds = []
        for path in paths:
            lines = _by_identity(path)
            first = first or (path, lines)
            _check_same(*first, path, lines)
            seeds.append(tuple(lines[key] for key in first[1]))
        intersection, union = (
            np.array([[line[key] for line in lines] for lines in seeds], float)
            for key in ('intersection', 'union')
        )
        methods.append(MethodResults(name, intersection, union, tuple(seeds)))
    return methods


def _by_identity(path: str | Path) -> dict[tuple, Line]:
    lines: dict[tuple, Line] = {}
    for number, line in enumerate(read_results(path), 1):
        key = tuple(line[name] for name in _IDENTITY)
        if key in lines:
            raise ValueError(f'{path}, line {number}: {_describe(line)} is there twice')
        lines[key] = line
    return lines


def _check_same(
    path: str | Path,
    lines: dict[tuple, Line],
    other_path: str | Path,
    others: dict[tuple, Line],
) -> None:
    """Results can only be paired on the same expressions and truth."""
    for whole_path, whole, part_path, part in (
        (path, lines, other_path, others),
        (other_path, others, path, lines),
    ):
        missing = [line for key, line in whole.items() if key not in part]
        if missing:
            raise ValueError(
                f'{part_path} lacks {len(missing)} of the {len(whole)} expressions of '
                f'{whole_path}, e.g. {_describe(missing[0])}: compare tests of one '
                'split'
            )
    for key, line in lines.items():
        for field in _SHARED:
            if line.get(field) != others[key].get(field):
                raise ValueError(
                    f'{path} and {other_path} disagree on the {field} of '
                    f'{_describe(line)}: {shorten(line.get(field))} and '
                    f'{shorten(others[key].get(field))}. Were they tested on the same '
                    f'data '
                    'and at the same size?'
                )


def _describe(line: Line) -> str:
    return (
        f'{shorten(line["expression"])} (ref_id {line["ref_id"]}, sent_id '
        f'{line["sent_id"]})'
    )
