# SPDX-License-Identifier: Apache-2.0
"""A progress bar that can begin in the middle."""

from __future__ import annotations

import sys

from ...utils.progress import ProgressBar


class Progress:
    """Shows on standard error how many batches are done.

    Args:
        total: Of batches.
        done: Those that an earlier run did.
        show: Without, nothing is shown.
    """

    def __init__(self, total: int, done: int, show: bool) -> None:
        self._bar = None
        if show and total > done:
            if done:
                print(f'going on after {done} of {total} batches', file=sys.stderr)
            self._bar = ProgressBar(total - done, file=sys.stderr)

    def step(self) -> None:
        """Counts one batch."""
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Ends the line."""
        if self._bar is not None:
            print(file=sys.stderr)
