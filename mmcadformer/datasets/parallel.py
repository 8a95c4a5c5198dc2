# SPDX-License-Identifier: Apache-2.0
"""The same work on many things, in several processes, with a progress bar."""

import multiprocessing
import os
import sys

import cv2

from ..utils.progress import track


def default_workers():
    """int: As many processes as cores that this one may use, 8 at most."""
    if hasattr(os, 'sched_getaffinity'):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)


def map_tracked(function, jobs, workers=0, progress=True, chunksize=8, file=None):
    """Results in the order of the jobs.

    Args:
        function (Callable): Importable function of one job.
        jobs (Sequence): The jobs.
        workers (int): Processes; 0 works in this one. Defaults to 0.
        progress (bool): Show a bar. Defaults to True.
        chunksize (int): Jobs that a process gets at a time. Defaults to 8.
        file (TextIO, optional): Where the bar goes; by default standard error.

    Yields:
        Result of each job.
    """
    file = sys.stderr if file is None else file
    # OpenCV's own threads don't survive a fork, and gain nothing here.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        if workers <= 0 or len(jobs) < 2:
            yield from track(map(function, jobs), len(jobs), progress, file)
            return
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context('fork' if 'fork' in methods else None)
        with context.Pool(min(workers, len(jobs))) as pool:
            results = pool.imap(function, jobs, chunksize)
            yield from track(results, len(jobs), progress, file)
    finally:
        cv2.setNumThreads(threads)
