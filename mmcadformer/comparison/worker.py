# SPDX-License-Identifier: Apache-2.0
"""Carries out one job in this process: training, then the test."""

from __future__ import annotations

import fcntl
import gc
import platform
import runpy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .job import Job


def run_job(job: Job, tools: Path) -> None:
    """Does what is left to do of a job.

    A training that was killed goes on from its newest checkpoint.

    Args:
        job: What :meth:`Job.plan` returned.
        tools: Folder of train.py and test.py.

    Raises:
        RuntimeError: If another process works on the job, or a tool gave up.
        FileNotFoundError: If training left no checkpoint to test.
    """
    with _locked(job):
        if job.is_done:
            print(f'{job.label}: done already')
            return
        if not job.is_trained:
            arguments = ['--work-dir', job.folder / 'train', '--resume']
            seconds = _run_tool(tools / 'train.py', job.config_file, *arguments)
            job.mark('trained.json', last_attempt_seconds=round(seconds, 1))
        arguments = [
            job.config_file,
            job.find_checkpoint(),
            '--work-dir',
            job.folder / 'test',
            '--out',
            job.result_file,
        ]
        if job.save_masks:
            arguments.append('--save-masks')
        seconds = _run_tool(tools / 'test.py', *arguments)
        job.mark('done.json', test_seconds=round(seconds, 1), host=platform.node())


def _run_tool(path: Path, *arguments: object) -> float:
    """Runs a tool's main() here, which saves importing everything twice.

    Returns:
        Seconds.
    """
    own, sys.argv = sys.argv, [str(path), *map(str, arguments)]
    start = time.monotonic()
    try:
        runpy.run_path(str(path), run_name='__main__')
    except SystemExit as end:
        if end.code not in (None, 0):
            raise RuntimeError(f'{path.name} gave up: {end.code}') from end
    finally:
        sys.argv = own
        # The next tool builds a model of its own.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return time.monotonic() - start


@contextmanager
def _locked(job: Job) -> Iterator[None]:
    """Keeps a second process off; the lock ends with this one, however it ends."""
    with open(job.folder / 'lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f'another process is working on {job.folder}: wait for it or end it'
            ) from None
        yield
