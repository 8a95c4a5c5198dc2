# SPDX-License-Identifier: Apache-2.0
"""The processes that run jobs, here and on a cluster."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from mmcadformer.comparison import make_slots, run_locally, submit, write_script

# Stands for a job's process: as a worker would, it works, fails, or is killed.
PROCESS = """
import json, os, pathlib, sys, time
folder, way = pathlib.Path(sys.argv[1]), sys.argv[2]
with open(folder.parent / 'order.txt', 'a') as file:
    print(folder.name, os.environ['CUDA_VISIBLE_DEVICES'], file=file)
if way == 'wait':  # for another job, which runs at the same time
    while not (folder.parent / 'go').exists():
        time.sleep(0.02)
(folder.parent / 'go').touch()
if way == 'fail':
    print('first line')
    sys.exit('no such luck')
record = json.loads((folder / 'job.json').read_text())
(folder / 'done.json').write_text(json.dumps(record))
(folder / 'results.jsonl').write_text('')
"""


def run_process(ways):
    return lambda job: [sys.executable, '-c', PROCESS, str(job.folder), ways[job.name]]


def test_a_failure_does_not_stop_the_others(make_job, capfd, tmp_path):
    jobs = [make_job(name) for name in 'abc']
    command = run_process(dict(a='work', b='fail', c='work'))
    failures = run_locally(jobs, command, make_slots([], 1))
    assert failures == {'b, seed 4': 'no such luck'}
    assert [job.is_done for job in jobs] == [True, False, True]
    assert jobs[1].log_file.read_text() == 'first line\nno such luck\n'
    out = capfd.readouterr().out
    assert 'b, seed 4: FAILED' in out and str(jobs[1].log_file) in out
    # One after the other, without a GPU.
    order = (tmp_path / 'jobs/order.txt').read_text().split('\n')
    assert order == ['a ', 'b ', 'c ', '']


def test_stop_on_failure(make_job):
    jobs = [make_job(name) for name in 'ab']
    command = run_process(dict(a='fail', b='work'))
    assert list(run_locally(jobs, command, make_slots([], 1), True)) == ['a, seed 4']
    assert not jobs[1].is_done


def test_one_process_for_each_gpu(make_job, monkeypatch, tmp_path):
    jobs = [make_job(name) for name in 'abc']
    # The first ends only after another has begun.
    command = run_process(dict(a='wait', b='work', c='work'))
    assert run_locally(jobs, command, make_slots(['3', '5'], 1)) == {}
    lines = (tmp_path / 'jobs/order.txt').read_text().splitlines()
    gpus = dict(line.split() for line in lines)
    assert {gpus['a'], gpus['b']} == {'3', '5'} and gpus['c'] in ('3', '5')
    monkeypatch.setattr('torch.cuda.device_count', lambda: 2)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '6, 1')
    names = [slot['CUDA_VISIBLE_DEVICES'] for slot in make_slots(None, 1)]
    assert names == ['6', '1']
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    assert len(make_slots(None, 4)) == 2
    assert make_slots([], 4) == 4 * [dict(CUDA_VISIBLE_DEVICES='')]
    monkeypatch.delenv('OMP_NUM_THREADS')
    monkeypatch.setattr('os.cpu_count', lambda: 9)
    assert make_slots([], 4) == 4 * [dict(CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='2')]


@pytest.fixture
def sigint():
    """Python's own handler, also where a shell's background job ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    'number, error',
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
)
def test_an_interruption_ends_the_jobs(make_job, number, error, sigint):
    job = make_job()

    def interrupt(job):
        os.kill(os.getpid(), number)
        return ['true']

    jobs = [job, make_job('b')]
    commands = {'a': run_process(dict(a='wait')), 'b': interrupt}
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(error):
        run_locally(jobs, lambda job: commands[job.name](job), make_slots([], 2))
    assert signal.getsignal(signal.SIGTERM) is before
    # It got here, so the process that waits has been ended.
    assert not job.is_done


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands that stand for Slurm's: a queue is a folder of job numbers."""
    queue = tmp_path / 'queue'
    queue.mkdir()
    commands = dict(
        sbatch=f'n=$(ls {queue} | wc -l); cp "$2" {queue}/7$n; echo "7$n;cluster"',
        squeue=f'cat {queue}/"$3" 2>/dev/null',
    )
    for name, text in commands.items():
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{tmp_path / "bin"}{os.pathsep}{os.environ["PATH"]}')
    return queue


def test_slurm_gets_each_job_once(make_job, slurm, run_bash):
    job = make_job()
    command = run_process(dict(a='work'))(job)
    script = write_script(job, command, ['--partition=gpu', '--gres=gpu:1'])
    text = script.read_text()
    assert '#SBATCH --partition=gpu\n#SBATCH --gres=gpu:1\n' in text
    assert f'#SBATCH --output="{job.log_file}"' in text
    assert submit(job, script) == 'a, seed 4: submitted as Slurm job 70'
    assert submit(job, script) == 'a, seed 4: Slurm has it already, job 70'
    # The script does the work, from any folder.
    assert (slurm / '70').read_text() == text
    run_bash(script)
    assert job.is_done
    (slurm / '70').unlink()
    assert 'submitted as Slurm job 70' in submit(job, script)


def test_without_slurm(make_job, monkeypatch, tmp_path):
    job = make_job()
    script = write_script(job, ['true'], [])
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(RuntimeError, match='sbatch is not installed.*--no-submit'):
        submit(job, script)


@pytest.fixture
def run_bash(tmp_path):
    def run(script):
        environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '0'}
        subprocess.run(['bash', script], check=True, cwd='/', env=environment)

    return run
