# SPDX-License-Identifier: Apache-2.0
"""A progress bar that fits logs as well as terminals; imports MMEngine."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from mmengine.utils import ProgressBar as _ProgressBar

_TERMINAL_SECONDS = 0.1
_LOG_SECONDS = 10.0
_T = TypeVar('_T')


class ProgressBar(_ProgressBar):
    """MMEngine's bar, drawn ten times a second, in a log file every ten seconds.

    The original writes at every task, which buries a log.

    Args:
        task_num: Number of all tasks.
        file: Where to; by default standard output.
    """

    def __init__(self, task_num: int, file: TextIO | None = None) -> None:
        self._waiting, self._drawn = 0, time.monotonic()
        super().__init__(task_num, file=sys.stdout if file is None else file)
        self._seconds = _TERMINAL_SECONDS if self.file.isatty() else _LOG_SECONDS

    def update(self, num_tasks: int = 1) -> None:
        """Counts finished tasks, and draws the bar if it is time to."""
        self._waiting += num_tasks
        now = time.monotonic()
        is_last = self.completed + self._waiting >= self.task_num
        if is_last or now - self._drawn >= self._seconds:
            super().update(self._waiting)
            self._waiting, self._drawn = 0, now


def track(
    items: Iterable[_T], total: int, show: bool = True, file: TextIO | None = None
) -> Iterator[_T]:
    """Passes things on and shows how many are done, then ends the line.

    Args:
        items: Tasks or their results; one is done when the next is asked for.
        total: Their number.
        show: Without, and where there are none, nothing is shown.
        file: Where to; by default standard output.

    Yields:
        The items.
    """
    if not show or not total:
        yield from items
        return
    bar = ProgressBar(total, file)
    for item in items:
        yield item
        bar.update()
    print(file=bar.file)
