# SPDX-License-Identifier: Apache-2.0
"""One process at a time in a folder."""

import os
import signal
import subprocess
import sys

import pytest

from mmcadformer.utils.lock import FolderInUse, locked

HOLD = """
import sys, time
from mmcadformer.utils.lock import locked
with locked(sys.argv[1]):
    print('held', flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_told_who_holds_it(tmp_path, repo_root):
    folder = tmp_path / 'run'
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(folder)],
        cwd=repo_root,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == 'held\n'
        # The owner is written a moment after the lock is taken, and before 'held'.
        message = rf'run is in use by -c \(process {process.pid} on .*, for 0 minutes\)'
        with pytest.raises(FolderInUse, match=message), locked(folder):
            pass
        with locked(tmp_path / 'other'), locked(folder, 'results.jsonl'):
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with locked(folder):  # the dead hold nothing
            pass
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
    assert list(folder.iterdir()) == []


def test_a_lock_lasts_as_long_as_its_block(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path):
            assert (tmp_path / '.lock.json').is_file()
            raise KeyError
    assert not list(tmp_path.iterdir())
