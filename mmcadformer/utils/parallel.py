# SPDX-License-Identifier: Apache-2.0
"""The same work on many things, in several processes, with a progress bar."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO, TypeVar

import cv2

from .progress import progress_bar

_Job = TypeVar('_Job')
_Result = TypeVar('_Result')


def map_tracked(
    function: Callable[[_Job], _Result],
    jobs: Sequence[_Job],
    workers: int = 0,
    progress: bool = True,
    chunksize: int = 8,
    file: TextIO | None = None,
) -> Iterator[_Result]:
    """Results in the order of the jobs.

    Args:
        function: Importable function of one job.
        jobs: The jobs.
        workers: Processes; 0 works in this one.
        progress: Show a bar.
        chunksize: Jobs that a process gets at a time.
        file: Where the bar goes; by default standard error.

    Yields:
        Result of each job.
    """
    # OpenCV's own threads don't survive a fork, and gain nothing here.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        if workers <= 0 or len(jobs) < 2:
            results: Iterator[_Result] = map(function, jobs)
            yield from progress_bar(results, len(jobs), show=progress, file=file)
            return
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context('fork' if 'fork' in methods else None)
        with context.Pool(min(workers, len(jobs))) as pool:
            results = pool.imap(function, jobs, chunksize)
            yield from progress_bar(results, len(jobs), show=progress, file=file)
    finally:
        cv2.setNumThreads(threads)
