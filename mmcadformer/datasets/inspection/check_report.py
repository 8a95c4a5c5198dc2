# SPDX-License-Identifier: Apache-2.0
"""What a check found, as text, JSON and a list of entries to leave out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tabulate import tabulate

from ...utils.files import write_text
from ..errors import KINDS, WARNINGS, AnnotationError


class CheckReport:
    """Findings of a check.

    Args:
        name: Name of the data set.

    Attributes:
        findings: In the order they were made.
        counts: What was looked at.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[AnnotationError] = []
        self.counts: dict[str, int] = {}

    def add(self, error: AnnotationError) -> None:
        """Takes over a finding."""
        self.findings.append(error)

    @property
    def errors(self) -> list[AnnotationError]:
        """What keeps objects from being used."""
        return [error for error in self.findings if error.kind not in WARNINGS]

    @property
    def warnings(self) -> list[AnnotationError]:
        """What looks wrong but can be used."""
        return [error for error in self.findings if error.kind in WARNINGS]

    def passed(self, strict: bool = False) -> bool:
        """Whether there are no errors; if strict, no warnings either."""
        return not (self.findings if strict else self.errors)

    def ids_to_leave_out(self, strict: bool = False) -> list[str]:
        """Ids that ``exclude_file`` should name; if strict, also those of warnings."""
        findings = self.findings if strict else self.errors
        ids = (str(e.ref_id) for e in findings if e.ref_id is not None)
        return list(dict.fromkeys(ids))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return dict(
            format='mmcadformer-check',
            version=1,
            dataset=self.name,
            passed=self.passed(),
            num_errors=len(self.errors),
            num_warnings=len(self.warnings),
            counts=self.counts,
            kinds=dict(Counter(error.kind for error in self.findings)),
            findings=[
                dict(
                    kind=error.kind,
                    severity='warning' if error.kind in WARNINGS else 'error',
                    ref_id=error.ref_id,
                    message=str(error),
                )
                for error in self.findings
            ],
        )

    def to_text(self, examples: int = 3) -> str:
        """Table of kinds, with up to so many examples of each."""
        counts = ', '.join(f'{n} {what}' for what, n in self.counts.items())
        lines = [f'{self.name}: {counts}' if counts else self.name]
        found = {
            kind: [error for error in self.findings if error.kind == kind]
            for kind in KINDS
        }
        rows = [
            ['warning' if kind in WARNINGS else 'ERROR', KINDS[kind], len(errors)]
            for kind, errors in found.items()
            if errors
        ]
        if rows:
            lines.append(tabulate(rows, ['', 'found', 'number'], tablefmt='psql'))
        for kind, errors in found.items():
            lines += [f'{kind}: {error}' for error in errors[:examples]]
            if len(errors) > examples:
                lines.append(f'{kind}: ... {len(errors) - examples} more')
        lines.append(f'{len(self.errors)} errors, {len(self.warnings)} warnings')
        return '\n'.join(lines)

    def write_fix_list(
        self, path: str | os.PathLike, strict: bool = False, keep: Iterable[str] = ()
    ) -> int:
        """Writes an ``exclude_file`` and returns the number of ids in it.

        Args:
            path: Text, or a JSON list if the name ends so.
            strict: Leave out what warnings are about, too.
            keep: Ids that are left out already and stay so.

        Raises:
            ValueError: An id can't be written as a line of text.
        """
        ids = [*sorted(keep), *self.ids_to_leave_out(strict)]
        if str(path).endswith('.json'):
            write_text(path, json.dumps(ids, indent=1) + '\n')
            return len(ids)
        for ref_id in ids:
            if '#' in ref_id or ref_id != ref_id.strip() or '\n' in ref_id:
                raise ValueError(
                    f'the id {ref_id!r} can not be a line of text: give the list '
                    'a name that ends in .json'
                )
        reasons = {str(e.ref_id): e.kind for e in reversed(self.findings)}
        lines = [f'{i}  # {reasons.get(i, "left out before")}\n' for i in ids]
        write_text(path, ''.join(lines))
        return len(ids)
