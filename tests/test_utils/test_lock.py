# SPDX-License-Identifier: Apache-2.0
"""One process at a time in a folder."""

import os
import signal
import time

import pytest

from mmcadformer.utils.lock import FolderInUse, locked


def hold(folder):
    with locked(folder):
        print('held')
        time.sleep(60)


def test_the_second_process_is_told_who_holds_it(tmp_path, fork):
    folder = tmp_path / 'run'
    process = fork(hold, folder)
    process.wait_for(lambda output: 'held\n' in output)
    # The owner is written a moment after the lock is taken, and before 'held'.
    message = rf'run is in use by .* \(process {process.pid} on .*, for 0 minutes\)'
    with pytest.raises(FolderInUse, match=message), locked(folder):
        pass
    with locked(tmp_path / 'other'), locked(folder, 'results.jsonl'):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with locked(folder):  # the dead hold nothing
        pass
    assert list(folder.iterdir()) == []


def test_a_lock_lasts_as_long_as_its_block(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path):
            assert (tmp_path / '.lock.json').is_file()
            raise KeyError
    assert not list(tmp_path.iterdir())
