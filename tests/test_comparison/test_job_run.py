# SPDX-License-Identifier: Apache-2.0
"""What a job's own process does, and how it fails."""

import os
import subprocess
import sys

import pytest

from mmcadformer.comparison import run_job
from mmcadformer.utils.lock import locked


def test_two_processes_never_share_a_job(make_job, tmp_path):
    job = make_job()
    with locked(job.folder):
        with pytest.raises(
            RuntimeError, match=rf'in use by .*\(process {os.getpid()} '
        ):
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
