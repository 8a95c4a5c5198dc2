# SPDX-License-Identifier: Apache-2.0
"""Runs jobs on this machine, one process for each GPU or one after the other."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ..utils.termination import exit_on_sigterm
from .job import Job

_POLL_SECONDS = 0.2


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen
    slot: dict[str, str]
    start: float


def make_slots(gpus: Sequence[str] | None, processes: int) -> list[dict[str, str]]:
    """What each of the processes that run at once gets as environment.

    Args:
        gpus: Names of GPUs, as CUDA_VISIBLE_DEVICES takes them; None takes all that
            are visible, an empty list none.
        processes: Number of processes where there is no GPU. Several share the
            cores, unless the number of threads is set already.
    """
    if gpus is None:
        gpus = _visible_gpus()
    if gpus:
        return [dict(CUDA_VISIBLE_DEVICES=gpu) for gpu in gpus]
    slot = dict(CUDA_VISIBLE_DEVICES='')
    if processes > 1 and 'OMP_NUM_THREADS' not in os.environ:
        slot['OMP_NUM_THREADS'] = str(max(1, (os.cpu_count() or 1) // processes))
    return [slot] * processes


def _visible_gpus() -> list[str]:
    count = torch.cuda.device_count()
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is None:
        return [str(i) for i in range(count)]
    return [name.strip() for name in visible.split(',')][:count]


def run_locally(
    jobs: Sequence[Job],
    command: Callable[[Job], list[str]],
    slots: Sequence[dict[str, str]],
    stop_on_failure: bool = False,
) -> dict[str, str]:
    """Runs jobs and waits for them.

    A job that fails doesn't stop the others. If this process is interrupted or
    terminated, so are the jobs; they go on the next time.

    Args:
        jobs: In the order in which they begin.
        command: Gives the command line of a job.
        slots: See :func:`make_slots`.
        stop_on_failure: Begin no more jobs after one has failed.

    Returns:
        Label of each failed job -> the last line of its log.
    """
    waiting, free = list(jobs), list(slots)
    running: list[_Running] = []
    failures: dict[str, str] = {}
    with exit_on_sigterm(), _ended_in_any_case(running):
        while running or waiting:
            while waiting and free:
                running.append(_start(waiting.pop(0), command, free.pop(0)))
            time.sleep(_POLL_SECONDS)
            for entry in [r for r in running if r.process.poll() is not None]:
                running.remove(entry)
                free.append(entry.slot)
                _finish(entry, failures)
            if failures and stop_on_failure:
                waiting.clear()
    return failures


@contextmanager
def _ended_in_any_case(running: list[_Running]) -> Iterator[None]:
    """Leaves no process behind that still runs."""
    try:
        yield
    finally:
        for entry in running:
            entry.process.terminate()
        for entry in running:
            entry.process.wait()


def _start(job: Job, command: Callable[[Job], list[str]], slot: dict) -> _Running:
    gpu = slot.get('CUDA_VISIBLE_DEVICES')
    print(f'{job.label}: begins' + (f' on GPU {gpu}' if gpu else ''), flush=True)
    with open(job.log_file, 'a', encoding='utf-8') as log:
        process = subprocess.Popen(
            command(job),
            env={**os.environ, **slot},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return _Running(job, process, slot, time.monotonic())


def _finish(entry: _Running, failures: dict[str, str]) -> None:
    job, seconds = entry.job, time.monotonic() - entry.start
    if entry.process.returncode == 0 and job.is_done:
        print(f'{job.label}: done in {seconds:.0f} s', flush=True)
        return
    failures[job.label] = last_line(job.log_file)
    print(
        f'{job.label}: FAILED after {seconds:.0f} s: {failures[job.label]}\n'
        f'  see {job.log_file}',
        flush=True,
    )


def last_line(path: Path) -> str:
    """Last line of a log that isn't blank."""
    lines = path.read_text(encoding='utf-8', errors='replace').split('\n')
    return next((line.strip() for line in reversed(lines) if line.strip()), 'no output')
