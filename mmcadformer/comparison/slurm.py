# SPDX-License-Identifier: Apache-2.0
"""Hands jobs to Slurm, each once."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .job import Job, write_json


def write_script(job: Job, command: Sequence[str], directives: Sequence[str]) -> Path:
    """Writes the batch script of a job.

    Args:
        job: The job.
        command: Its command line.
        directives: Options of sbatch, such as '--partition=gpu'.

    Returns:
        The script.
    """
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
    script.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return script


def submit(job: Job, script: Path) -> str:
    """Submits a script, unless the job still waits or runs.

    Returns:
        What happened, for people.

    Raises:
        RuntimeError: If Slurm refuses the job or isn't installed.
    """
    record = job.folder / 'slurm.json'
    if record.is_file():
        number = json.loads(record.read_text(encoding='utf-8'))['job_id']
        if _is_queued(number):
            return f'{job.label}: Slurm has it already, job {number}'
    result = _run(['sbatch', '--parsable', str(script)])
    if result.returncode:
        raise RuntimeError(f'sbatch refused {script}: {result.stderr.strip()}')
    number = result.stdout.strip().split(';')[0]
    write_json(record, dict(job_id=number))
    return f'{job.label}: submitted as Slurm job {number}'


def _is_queued(number: str) -> bool:
    # It also fails for jobs that ended some time ago.
    result = _run(['squeue', '--noheader', '--jobs', number])
    return result.returncode == 0 and bool(result.stdout.strip())


def _run(command: list[str]) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(
            f'{command[0]} is not installed: --launcher slurm belongs on a machine '
            'that submits to Slurm; --no-submit only writes the scripts'
        ) from None
