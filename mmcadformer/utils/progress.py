# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal or in a log, drawn by tqdm."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO, TypeVar

from tqdm import tqdm

_TERMINAL_SECONDS = 0.1
_LOG_SECONDS = 10.0
_T = TypeVar('_T')


def progress_bar(
    items: Iterable[_T] | None = None,
    total: int | None = None,
    done: int = 0,
    show: bool = True,
    file: TextIO | None = None,
) -> tqdm[_T]:
    """A bar that is drawn ten times a second; in a log, every ten seconds.

    Args:
        items: Tasks or their results, to iterate over; without, call ``update``
            after each task and ``close`` at the end.
        total: Number of all tasks.
        done: Tasks that an earlier run has finished; ``items`` holds the others.
        show: Without, and where there are no tasks, nothing is shown.
        file: Where to draw; by default standard error.
    """
    file = sys.stderr if file is None else file
    return tqdm(
        () if items is None else items,
        total=total,
        initial=done,
        disable=not show or not total,
        file=file,
        mininterval=_TERMINAL_SECONDS if file.isatty() else _LOG_SECONDS,
    )
