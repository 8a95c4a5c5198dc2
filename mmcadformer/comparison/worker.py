# SPDX-License-Identifier: Apache-2.0
"""Carries out one job in this process: training, then the test."""

from __future__ import annotations

import gc
import platform
import runpy
import sys
import textwrap
import time
import traceback
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from .job import Job


def run_job(job: Job, tools: Path) -> None:
    """Does what is left to do of a job.

    A training that was killed goes on from its newest checkpoint.

    Args:
        job: What :meth:`Job.plan` returned.
        tools: Folder of train.py and test.py.

    Raises:
        RuntimeError: If another process works on the job, or a step failed.
        FileNotFoundError: If training left no checkpoint to test.
    """
    try:
        # The system frees it when this process ends, however it ends.
        lock = FileLock(job.folder / 'lock').acquire(timeout=0)
    except Timeout:
        raise RuntimeError(
            f'another process is working on {job.folder}: wait for it or end it'
        ) from None
    with lock:
        if job.is_done:
            print(f'{job.label}: done already')
            return
        if not job.is_trained:
            folder = job.folder / 'train'
            arguments = [job.config_file, '--work-dir', folder, '--resume']
            seconds = _run_step(job, 'training', tools / 'train.py', arguments)
            job.mark('trained.json', last_attempt_seconds=round(seconds, 1))
        files = [job.config_file, job.find_checkpoint()]
        arguments = [*files, '--work-dir', job.folder / 'test', '--out']
        arguments += [job.result_file, *(['--save-masks'] if job.save_masks else [])]
        seconds = _run_step(job, 'testing', tools / 'test.py', arguments)
        job.mark('done.json', test_seconds=round(seconds, 1), host=platform.node())


def _run_step(job: Job, step: str, tool: Path, arguments: list[object]) -> float:
    """Runs a tool's main() here, which saves importing everything twice.

    Returns:
        Seconds.
    """
    if not tool.is_file():
        raise FileNotFoundError(f'{tool} does not exist')
    own, sys.argv = sys.argv, [str(tool), *map(str, arguments)]
    start = time.monotonic()
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except SystemExit as end:
        if isinstance(end.code, int) and end.code:
            raise _failure(job, step, tool, f'exit code {end.code}') from end
        if end.code:
            reason = str(end.code).removeprefix(f'{tool.name}: ')
            raise _failure(job, step, tool, reason) from end
    except Exception as error:
        traceback.print_exc()
        reason = f'{type(error).__name__}: {error}'
        raise _failure(job, step, tool, reason) from error
    finally:
        sys.argv = own
        # The next tool builds a model of its own.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return time.monotonic() - start


def _failure(job: Job, step: str, tool: Path, reason: str) -> RuntimeError:
    reason = textwrap.shorten(reason, 400)
    return RuntimeError(
        f'{job.label}: {step} failed ({tool.name}: {reason}); its log is {job.log_file}'
    )
