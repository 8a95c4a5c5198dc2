# SPDX-License-Identifier: Apache-2.0
"""Progress of work on many things, in several processes or in this one."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO, TypeVar

import cv2
from tqdm import tqdm

_TERMINAL_SECONDS = 0.1
_LOG_SECONDS = 10.0
_T = TypeVar('_T')
_Job = TypeVar('_Job')


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


def map_tracked(
    function: Callable[[_Job], _T],
    jobs: Sequence[_Job],
    workers: int = 0,
    progress: bool = True,
    chunksize: int = 8,
    file: TextIO | None = None,
) -> Iterator[_T]:
    """Results of an importable function, in the order of the jobs, with a bar.

    Args:
        workers: Processes; 0 works in this one.
        chunksize: Jobs that a process gets at a time.
        file: Where the bar goes; by default standard error.
    """
    # OpenCV's own threads don't survive a fork, and gain nothing here.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        if workers <= 0 or len(jobs) < 2:
            results: Iterator[_T] = map(function, jobs)
            yield from progress_bar(results, len(jobs), show=progress, file=file)
            return
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context('fork' if 'fork' in methods else None)
        with context.Pool(min(workers, len(jobs))) as pool:
            results = pool.imap(function, jobs, chunksize)
            yield from progress_bar(results, len(jobs), show=progress, file=file)
    finally:
        cv2.setNumThreads(threads)
