# SPDX-License-Identifier: Apache-2.0
"""Trainings that are asked to end."""

import os
import re
import signal
import subprocess
import sys

import pytest
import torch


def start(repo_root, arguments, cwd, launcher=()):
    return subprocess.Popen(
        [*launcher, str(repo_root / 'tools/train.py'), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'PYTHONUNBUFFERED': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process, pattern):
    for line in process.stdout:
        if re.search(pattern, line):
            return
    raise AssertionError(f'no line like {pattern}')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_after_its_step(
    repo_root, run_tool, tiny_config, tmp_path, number
):
    arguments = [tiny_config, '--work-dir', 'run', '--resume', '--seed', 5]
    process = start(repo_root, arguments, tmp_path, [sys.executable])
    read_until(process, r'Epoch\(train\)\s+\[1\]\[2/4\]')
    # To the process alone as by kill, to its data workers too as by Ctrl-C.
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)
    output, _ = process.communicate()
    assert process.returncode == 128 + number, output
    assert 'Traceback' not in output
    command = re.search(r'To go on: python (.*)', output)[1]
    assert command.endswith(f'{tiny_config} --work-dir run --seed 5 --resume')
    state = torch.load(tmp_path / 'run/interrupted.pth', weights_only=False)
    assert 2 <= state['meta']['iter'] <= 4 and state['meta']['epoch'] == 0
    assert not (tmp_path / 'run/.lock').exists()
    if number == signal.SIGINT:
        return
    run_tool('train.py', *arguments, cwd=tmp_path)
    run_tool('train.py', tiny_config, '--work-dir', 'whole', '--seed', 5, cwd=tmp_path)
    one, other = (
        torch.load(tmp_path / run / 'epoch_2.pth', weights_only=False)['state_dict']
        for run in ('run', 'whole')
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not (tmp_path / 'run/interrupted.pth').exists()


PLANT = """
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class PlantOne(Hook):
    def before_train(self, runner):
        head = runner.model.module.decode_head
        loss = head.loss_by_feat

        def planted(*args, **kwargs):
            losses = loss(*args, **kwargs)
            if get_rank() == 1 and runner.iter == 2:
                losses['loss_ce'] = losses['loss_ce'] * float('nan')
            return losses

        head.loss_by_feat = planted

    def after_train(self, runner):
        state = runner.model.module.state_dict()
        torch.save(state, f'{runner.work_dir}/rank_{get_rank()}.pt')
"""


def test_processes_skip_a_step_together(run_tool, tiny_config, tmp_path):
    (tmp_path / 'plant_one.py').write_text(PLANT)
    config = tmp_path / 'config.py'
    imports = f'import sys\nsys.path.insert(0, {str(tmp_path)!r})\n'
    imports += "custom_imports['imports'].append('plant_one')"
    hook = "custom_hooks.append(dict(type='PlantOne'))"
    config.write_text(f'{tiny_config.read_text()}\n{imports}\n{hook}\n')
    result = run_tool('dist_train.sh', config, 2, '--work-dir', 'run', cwd=tmp_path)
    assert '1 of the last steps up to 4 skipped' in result.stdout + result.stderr
    one, other = (torch.load(tmp_path / f'run/rank_{rank}.pt') for rank in (0, 1))
    trained = [key for key in one if 'running_' not in key]
    assert all(torch.equal(one[key], other[key]) for key in trained)
    assert all(torch.isfinite(value).all() for value in one.values())
