# SPDX-License-Identifier: Apache-2.0
"""Trainings that are killed at random moments, and resumed.

Three kills by default; MMCADFORMER_TEST_KILLS=60 does the whole, in ten minutes.
"""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmcadformer.utils.checkpoint import is_whole

KILLS = int(os.environ.get('MMCADFORMER_TEST_KILLS', 3))
MOMENTS = ['any', 'validation', 'saving']
EPOCHS = 3

# Shared with the processes that are forked.
PHASE = multiprocessing.Value('i', 0)


@HOOKS.register_module(force=True)
class TellPhase(Hook):
    """Tells the parent where the training is: 0 before, 1 training, 2 validation."""

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        PHASE.value = 1

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        PHASE.value = 2


@pytest.fixture
def start(fork_tool, phased_config):
    """Starts the training, which goes on where the one before was killed."""

    def train(folder):
        PHASE.value = 0
        options = [f'train_cfg.max_epochs={EPOCHS}', 'randomness.seed=5']
        arguments = [phased_config, '--work-dir', folder, '--resume', '--cfg-options']
        return fork_tool('train.py', *arguments, *options, cwd=folder.parent)

    return train


def complete(process):
    assert process.wait().returncode == 0, process.output[-3000:]


def kill_in(process, moment, folder, draw, seconds):
    """Kills the process at the moment, if it doesn't end before."""
    while process.is_alive() and PHASE.value == 0:
        time.sleep(0.002)
    if moment == 'any':
        end = time.monotonic() + draw.uniform(0, seconds)
        while process.is_alive() and time.monotonic() < end:
            time.sleep(0.002)
    else:
        turn = draw.randrange(1, 4)
        while process.is_alive() and turn:
            there = PHASE.value == 2
            if moment == 'saving':
                there = bool(list(folder.glob('*.unfinished')))
            turn -= there
            time.sleep(draw.uniform(0, 0.2) if there and turn else 0.0005)
        time.sleep(draw.uniform(0, 0.02))
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def result(folder):
    """Last weights; name, weights, epoch and score of the one best checkpoint."""
    last, *best = [folder / f'epoch_{EPOCHS}.pth', *folder.glob('best_*')]
    assert len(best) == 1 and is_whole(best[0]), best
    assert not list(folder.glob('*.unfinished'))
    last, content = (torch.load(p, weights_only=False) for p in (last, best[0]))
    score = content['message_hub']['runtime_info']['best_score']
    facts = best[0].name, content['meta']['epoch'], float(score)
    return last['state_dict'], content['state_dict'], facts


@pytest.fixture(scope='module')
def phased_config(tiny_config, tmp_path_factory):
    config = tmp_path_factory.mktemp('kills') / 'config.py'
    text = tiny_config.read_text()
    config.write_text(f"{text}\ncustom_hooks.append(dict(type='TellPhase'))\n")
    return config


@pytest.fixture(scope='module')
def whole():
    """Of the uninterrupted run, once it was made: its result and its seconds."""
    return []


@pytest.mark.parametrize('number', range(KILLS))
def test_a_killed_training_ends_as_if_nothing_had_been(start, whole, tmp_path, number):
    if not whole:
        begin = time.monotonic()
        complete(start(tmp_path / 'whole'))
        whole += result(tmp_path / 'whole'), time.monotonic() - begin
    expected, seconds = whole
    draw = random.Random(number)
    folder = tmp_path / 'run'
    for _ in range(1 + number % 2):
        kill_in(start(folder), MOMENTS[number % 3], folder, draw, seconds)
    complete(start(folder))
    last, best, facts = result(folder)
    assert facts == expected[2]
    for mine, whole_ones in ((last, expected[0]), (best, expected[1])):
        assert mine.keys() == whole_ones.keys()
        assert all(torch.equal(mine[key], whole_ones[key]) for key in mine)
