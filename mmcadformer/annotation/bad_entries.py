# SPDX-License-Identifier: Apache-2.0
"""Entries that can't be used: an error, unless they are to be left out."""

from __future__ import annotations

from contextlib import contextmanager


class BadEntries:
    """Collects what is wrong with a source.

    Args:
        skip: Leave bad entries out and go on. Otherwise the first one is an
            error.

    Attributes:
        found (list[dict]): ``where`` and ``reason`` of each entry left out.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self.found: list[dict[str, str]] = []

    def add(self, where: str, reason: str) -> None:
        """Reports an entry.

        Raises:
            ValueError: Unless bad entries are skipped.
        """
        if not self.skip:
            raise ValueError(
                f'{where}: {reason}. Repair the entry, or leave out all such '
                'entries with --skip-bad'
            )
        self.found.append(dict(where=where, reason=reason))

    @contextmanager
    def around(self, where: str):
        """Context in which a ValueError is about one entry."""
        try:
            yield
        except ValueError as error:
            self.add(where, str(error))
