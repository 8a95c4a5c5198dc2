# SPDX-License-Identifier: Apache-2.0
"""What a check found, as text, JSON and a list of entries to leave out."""

import json
from collections import Counter
from pathlib import Path

from prettytable import PrettyTable

from ..errors import KINDS, WARNINGS


class CheckReport:
    """Findings of a check.

    Args:
        name (str): Name of the data set.

    Attributes:
        findings (list[AnnotationError]): In the order they were made.
        counts (dict[str, int]): What was looked at.
    """

    def __init__(self, name):
        self.name = name
        self.findings = []
        self.counts = {}

    def add(self, error):
        """Take over a finding."""
        self.findings.append(error)

    @property
    def errors(self):
        """list[AnnotationError]: What keeps objects from being used."""
        return [error for error in self.findings if error.kind not in WARNINGS]

    @property
    def warnings(self):
        """list[AnnotationError]: What looks wrong but can be used."""
        return [error for error in self.findings if error.kind in WARNINGS]

    def passed(self, strict=False):
        """bool: Whether there are no errors; if strict, no warnings either."""
        return not (self.findings if strict else self.errors)

    def ids_to_leave_out(self, strict=False):
        """Ids that ``exclude_file`` should name.

        Args:
            strict (bool): Also those of warnings. Defaults to False.

        Returns:
            list[str]: In order, each once.
        """
        findings = self.findings if strict else self.errors
        return list(
            dict.fromkeys(str(e.ref_id) for e in findings if e.ref_id is not None)
        )

    def to_dict(self):
        """dict: The report as JSON has it."""
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

    def to_text(self, examples=3):
        """Table of kinds with a few examples each.

        Args:
            examples (int): Findings shown of each kind. Defaults to 3.

        Returns:
            str: Several lines.
        """
        counts = ', '.join(f'{n} {what}' for what, n in self.counts.items())
        lines = [f'{self.name}: {counts}' if counts else self.name]
        kinds = Counter(error.kind for error in self.findings)
        if kinds:
            table = PrettyTable(['', 'found', 'number'])
            table.align = 'l'
            table.align['number'] = 'r'
            for kind in (kind for kind in KINDS if kind in kinds):
                severity = 'warning' if kind in WARNINGS else 'ERROR'
                table.add_row([severity, KINDS[kind], kinds[kind]])
            lines.append(table.get_string())
        for kind in (kind for kind in KINDS if kind in kinds):
            found = [error for error in self.findings if error.kind == kind]
            lines += [f'{kind}: {error}' for error in found[:examples]]
            if len(found) > examples:
                lines.append(f'{kind}: ... {len(found) - examples} more')
        lines.append(f'{len(self.errors)} errors, {len(self.warnings)} warnings')
        return '\n'.join(lines)

    def write_fix_list(self, path, strict=False, keep=()):
        """Write the ids to leave out, as the datasets' ``exclude_file``.

        Args:
            path (str | Path): Text, or a JSON list if the name ends so.
            strict (bool): Also those of warnings. Defaults to False.
            keep (Collection[str]): Ids that are left out already and stay so.

        Returns:
            int: Number of ids.

        Raises:
            ValueError: An id can't be written as a line of text.
        """
        path, ids = Path(path), [*sorted(keep), *self.ids_to_leave_out(strict)]
        if path.suffix == '.json':
            text = json.dumps(ids, indent=1) + '\n'
        else:
            for ref_id in ids:
                if '#' in ref_id or ref_id != ref_id.strip() or '\n' in ref_id:
                    raise ValueError(
                        f'the id {ref_id!r} can not be a line of text: give the list '
                        'a name that ends in .json'
                    )
            reasons = {str(e.ref_id): e.kind for e in reversed(self.findings)}
            text = ''.join(
                f'{ref_id}  # {reasons.get(ref_id, "left out before")}\n'
                for ref_id in ids
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
        return len(ids)
