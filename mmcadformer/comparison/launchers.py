# SPDX-License-Identifier: Apache-2.0
"""Where jobs run: in processes of this machine, or on a Slurm cluster."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch

from ..utils.command_line import exit_on_sigterm
from ..utils.files import read_json, write_json, write_text
from .job import Job

_POLL_SECONDS = 0.2

Slot = dict[str, str]
"""Environment variables of one of the processes that run at the same time."""


class _Running(NamedTuple):
    job: Job
    process: subprocess.Popen[bytes]
    slot: Slot
    start: float


def make_slots(gpus: Sequence[str] | None, processes: int) -> list[Slot]:
    """What each of the processes that run at once gets as environment.

    ``gpus`` None takes all that are visible, an empty list none; without any, so many
    ``processes`` share the cores, unless the number of threads is set already.
    """
    if gpus is None:
        count = torch.cuda.device_count()
        visible = os.environ.get('CUDA_VISIBLE_DEVICES')
        names = map(str, range(count)) if visible is None else visible.split(',')
        gpus = [name.strip() for name in names][:count]
    if gpus:
        return [dict(CUDA_VISIBLE_DEVICES=gpu) for gpu in gpus]
    slot = dict(CUDA_VISIBLE_DEVICES='')
    if processes > 1 and 'OMP_NUM_THREADS' not in os.environ:
        slot['OMP_NUM_THREADS'] = str(max(1, (os.cpu_count() or 1) // processes))
    return [slot] * processes


def run_locally(
    jobs: Sequence[Job],
    command: Callable[[Job], list[str]],
    slots: Sequence[Slot],
    stop_on_failure: bool = False,
) -> dict[str, str]:
    """Runs jobs, by the command line that ``command`` gives, and waits for them.

    A job that fails doesn't stop the others, unless no more are to begin then. If this
    process is interrupted or terminated, so are the jobs; they go on the next time.

    Returns:
        Label of each failed job -> the last line of its log.
    """
    waiting, free = list(jobs), list(slots)
    running: list[_Running] = []
    failures: dict[str, str] = {}
    with exit_on_sigterm(), ExitStack() as ended:
        ended.callback(_end_all, running)
        while running or waiting:
            while waiting and free:
                job, slot = waiting.pop(0), free.pop(0)
                running.append(_start(job, command(job), slot))
            time.sleep(_POLL_SECONDS)
            for entry in [r for r in running if r.process.poll() is not None]:
                running.remove(entry)
                free.append(entry.slot)
                failures.update(_finish(entry))
            if failures and stop_on_failure:
                waiting.clear()
    return failures


def _end_all(running: list[_Running]) -> None:
    for entry in running:
        entry.process.terminate()
    for entry in running:
        entry.process.wait()


def _start(job: Job, command: list[str], slot: Slot) -> _Running:
    gpu = slot.get('CUDA_VISIBLE_DEVICES')
    print(f'{job.label}: begins' + (f' on GPU {gpu}' if gpu else ''), flush=True)
    with open(job.log_file, 'a', encoding='utf-8') as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **slot},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return _Running(job, process, slot, time.monotonic())


def _finish(entry: _Running) -> dict[str, str]:
    """Says how a job ended; returns label and reason of one that failed."""
    job, seconds = entry.job, time.monotonic() - entry.start
    if entry.process.returncode == 0 and job.is_done:
        print(f'{job.label}: done in {seconds:.0f} s', flush=True)
        return {}
    lines = job.log_file.read_text(encoding='utf-8', errors='replace').split('\n')
    said = [line.strip() for line in lines if line.strip()]
    reason = said[-1] if said else 'no output'
    print(f'{job.label}: FAILED after {seconds:.0f} s: {reason}', flush=True)
    print(f'  see {job.log_file}', flush=True)
    return {job.label: reason}


def write_script(job: Job, command: Sequence[str], directives: Sequence[str]) -> Path:
    """Writes a job's batch script; directives are sbatch's, as '--partition=gpu'."""
    options = [
        f'--job-name={job.name}_seed{job.seed}',
        f'--output="{job.log_file.resolve()}"',
        '--open-mode=append',
        *directives,
    ]
    lines = [
        '#!/usr/bin/env bash',
        *(f'#SBATCH {option}' for option in options),
        'set -euo pipefail',
        f'cd {shlex.quote(str(Path.cwd()))}',
        f'exec {shlex.join(command)}',
    ]
    script = job.folder / 'job.sh'
    write_text(script, '\n'.join(lines) + '\n')
    return script


def submit(job: Job, script: Path) -> str:
    """Submits a script, unless Slurm has the job still; says what it did."""
    record = job.folder / 'slurm.json'
    if record.is_file():
        number = read_json(record)['job_id']
        # Also fails for jobs that ended some time ago.
        queue = _slurm('squeue', '--noheader', '--jobs', number)
        if queue.returncode == 0 and queue.stdout.strip():
            return f'{job.label}: Slurm has it already, job {number}'
    result = _slurm('sbatch', '--parsable', str(script))
    if result.returncode:
        raise RuntimeError(f'sbatch refused {script}: {result.stderr.strip()}')
    number = result.stdout.strip().split(';')[0]
    write_json(record, dict(job_id=number))
    return f'{job.label}: submitted as Slurm job {number}'


def _slurm(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(
            f'{command[0]} is not installed: --launcher slurm belongs on a machine '
            'that submits to Slurm; --no-submit only writes the scripts'
        ) from None
