# SPDX-License-Identifier: Apache-2.0
"""Trainings that are asked to end."""

import os
import re
import signal

import pytest
import torch


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_after_its_step(
    fork_tool, call_tool, tiny_config, tmp_path, number
):
    run = tmp_path / 'run'
    arguments = [tiny_config, '--work-dir', run, '--resume', '--seed', 5]
    process = fork_tool('train.py', *arguments, cwd=tmp_path)
    process.wait_for(re.compile(r'Epoch\(train\)\s+\[1\]\[2/4\]').search)
    # To the process alone as by kill, to its data workers too as by Ctrl-C.
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)
    ended = process.wait()
    assert ended.returncode == 128 + number, process.output
    assert 'Traceback' not in process.output
    command = re.search(r'To go on: python (.*)', ended.stderr)[1]
    assert command.endswith(f'{tiny_config} --work-dir {run} --seed 5 --resume')
    state = torch.load(run / 'interrupted.pth', weights_only=False)
    assert 2 <= state['meta']['iter'] <= 4 and state['meta']['epoch'] == 0
    assert not (run / '.lock').exists()
    if number == signal.SIGINT:
        return
    call_tool('train.py', *arguments)
    call_tool('train.py', tiny_config, '--work-dir', tmp_path / 'whole', '--seed', 5)
    one, other = (
        torch.load(folder / 'epoch_2.pth', weights_only=False)['state_dict']
        for folder in (run, tmp_path / 'whole')
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not (run / 'interrupted.pth').exists()
