# SPDX-License-Identifier: Apache-2.0
"""State of jobs in their folders, and the processes that run them."""

import json
import os
import signal
import stat
import subprocess
import sys
import zipfile

import pytest
from mmengine.config import Config

from mmcadformer.comparison import (
    Job,
    make_slots,
    prepare_config,
    run_job,
    run_locally,
    submit,
    write_script,
)


@pytest.fixture
def cfg(tiny_config):
    return prepare_config(tiny_config, seed=4)


@pytest.fixture
def make_job(cfg, tmp_path):
    def make(name='a', **kwargs):
        job = Job.plan(name, 4, tmp_path / 'jobs' / name, cfg, **kwargs)
        job.prepare(cfg)
        return job

    return make


def test_config_holds_everything(tiny_config, tiny_data, tmp_path):
    cfg = prepare_config(
        tiny_config, 9, {'train_cfg.max_epochs': 7}, str(tmp_path), True
    )
    assert cfg.randomness.seed == 9 and cfg.train_cfg.max_epochs == 7
    assert cfg.test_dataloader.dataset.data_root == str(tmp_path)
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is None
    with pytest.raises(FileNotFoundError, match='config nothing.py does not exist'):
        prepare_config('nothing.py', 0)
    with pytest.raises(FileNotFoundError, match='train_dataloader.*no/such'):
        prepare_config(tiny_config, 0, data_root='no/such')
    with pytest.raises(ValueError, match='test_evaluator.type'):
        prepare_config(tiny_config, 0, {'test_evaluator.type': 'IoUMetric'})


def test_jobs_are_recognised_by_their_config(make_job, cfg, tiny_config):
    job = make_job()
    assert Job.load(job.folder) == job
    dumped = Config.fromfile(job.config_file)
    assert dumped.randomness.seed == 4 and dumped.model == cfg.model
    assert not job.is_trained and not job.is_done
    job.mark('trained.json')
    job.mark('done.json')
    assert job.is_trained and not job.is_done  # no results
    job.result_file.write_text('{}')
    assert job.is_done and make_job().is_done
    assert not make_job(checkpoint='last').is_done
    assert not make_job(save_masks=True).is_done
    # Where logs go makes no difference, another learning rate does.
    for key, same in (('log_level', True), ('optim_wrapper.optimizer.lr', False)):
        other = prepare_config(tiny_config, 4, {key: 1})
        plan = Job.plan('a', 4, job.folder, other)
        assert plan.is_done == plan.is_trained == same
    with pytest.raises(ValueError, match=r'differs in optim_wrapper.optimizer.lr\. '):
        plan.prepare(other)
    plan.prepare(other, overwrite=True)
    assert not job.result_file.exists()
    assert Config.fromfile(job.config_file).optim_wrapper.optimizer.lr == 1


def test_the_checkpoint_that_is_tested(make_job, cfg):
    job = make_job()
    with pytest.raises(FileNotFoundError, match='holds no best checkpoint'):
        job.find_checkpoint()
    folder = job.folder / 'train'
    folder.mkdir()
    for name in ('best_oIoU_epoch_9', 'best_oIoU_epoch_10', 'epoch_11', 'epoch_9'):
        with zipfile.ZipFile(folder / f'{name}.pth', 'w') as file:
            file.writestr('data', '')
    (folder / 'best_oIoU_epoch_12.pth').write_bytes(b'killed while it was saved')
    os.utime(folder / 'epoch_9.pth', (1, 1))
    assert job.find_checkpoint().name == 'best_oIoU_epoch_10.pth'
    assert make_job(checkpoint='last').find_checkpoint().name == 'epoch_11.pth'
    cfg.val_cfg = None
    with pytest.raises(ValueError, match='no validation.*--checkpoint last'):
        Job.plan('a', 4, job.folder, cfg)


def test_two_processes_never_share_a_job(make_job, tmp_path):
    import fcntl

    job = make_job()
    with open(job.folder / 'lock', 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match='another process is working on'):
            run_job(job, tmp_path)
    # Its tools aren't there: it gets that far once the lock is gone.
    with pytest.raises(FileNotFoundError, match='train.py'):
        run_job(job, tmp_path)


@pytest.fixture
def tools(tmp_path):
    """Folder of commands that end as a test wants."""
    folder = tmp_path / 'tools'
    folder.mkdir()

    def write(**contents):
        for name, text in contents.items():
            (folder / f'{name}.py').write_text(f'import sys\n{text}\n')
        return folder

    return write


@pytest.mark.parametrize(
    'ending, reason',
    [
        ('sys.exit(3)', 'exit code 3'),
        ("sys.exit('train.py: no data')", 'no data'),
        ("raise KeyError('lost')", "KeyError: 'lost'"),
        ("raise RuntimeError('a\\nb')", 'RuntimeError: a b'),
    ],
)
def test_a_failed_step_is_named_with_its_log(make_job, tools, capsys, ending, reason):
    job = make_job()
    with pytest.raises(RuntimeError) as error:
        run_job(job, tools(train=ending))
    assert str(error.value) == (
        f'a, seed 4: training failed (train.py: {reason}); its log is {job.log_file}'
    )
    # What isn't the user's fault leaves its traceback in the log.
    assert ('Traceback' in capsys.readouterr().err) == ending.startswith('raise')
    assert not job.is_trained


def test_a_failed_test_keeps_the_training(make_job, tools):
    job = make_job()
    checkpoint = job.folder / 'train/best_oIoU_epoch_1.pth'
    train = (
        'import pathlib, zipfile\n'
        f'pathlib.Path({str(checkpoint.parent)!r}).mkdir()\n'
        f"zipfile.ZipFile({str(checkpoint)!r}, 'w').close()"
    )
    with pytest.raises(RuntimeError, match=r'testing failed \(test.py: exit code 2\)'):
        run_job(job, tools(train=train, test='sys.exit(2)'))
    assert job.is_trained and not job.is_done


def test_import_and_lock_where_there_is_no_fcntl(make_job, tmp_path):
    job = make_job()
    job.mark('done.json')
    job.result_file.write_text('')
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        'from pathlib import Path\n'
        'from mmcadformer.comparison import Job, run_job\n'
        'run_job(Job.load(Path(sys.argv[1])), Path())\n'
    )
    command = [sys.executable, '-c', code, str(job.folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert 'done already' in run.stdout, run.stderr


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


def test_marks_are_whole_or_not_there(make_job):
    job = make_job()
    job.mark('done.json', host='here')
    record = json.loads((job.folder / 'done.json').read_text())
    assert record['host'] == 'here' and record['config_hash'] == job.config_hash
    assert not list(job.folder.glob('*.unfinished'))
