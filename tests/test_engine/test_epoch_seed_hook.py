# SPDX-License-Identifier: Apache-2.0
"""Random numbers of an epoch, in training process and data workers."""

import copy
import multiprocessing
import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import find_latest_checkpoint
from torch.utils.data import DataLoader, Dataset

from mmcadformer.engine import SeededDataset


class Draws(Dataset):
    """Gives random numbers of all three generators as a sample."""

    metainfo = dict(classes=('a',))

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return random.random(), np.random.rand(), torch.rand(()).item()


def draw(seed=1, epoch=0, num_workers=0, dataset=None):
    dataset = dataset or SeededDataset(Draws(), seed, torch.tensor(epoch))
    loader = DataLoader(dataset, 2, num_workers=num_workers, collate_fn=list)
    return [sample for batch in loader for sample in batch]


def test_samples_depend_on_seed_epoch_and_index_only():
    first = draw()
    assert len(set(first)) == 6
    assert draw() == first == draw(num_workers=1) == draw(num_workers=2)
    assert not set(draw(epoch=1)) & set(first)
    assert not set(draw(seed=2)) & set(first)


def test_persistent_workers_follow_the_epoch():
    epoch = torch.zeros((), dtype=torch.int64).share_memory_()
    dataset = SeededDataset(Draws(), 1, epoch)
    loader = DataLoader(
        dataset, 2, num_workers=2, persistent_workers=True, collate_fn=list
    )
    for number in (0, 1, 0):
        epoch.fill_(number)
        drawn = [sample for batch in loader for sample in batch]
        assert drawn == draw(epoch=number)


def test_drawing_samples_leaves_the_process_alone():
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = Draws()[0]
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    SeededDataset(Draws(), 1, torch.tensor(0))[2]
    assert Draws()[0] == expected


def test_wrapping_hides_nothing_and_can_be_pickled():
    dataset = SeededDataset(Draws(), 1, torch.tensor(0))
    assert dataset.metainfo == Draws.metainfo
    assert draw(dataset=pickle.loads(pickle.dumps(dataset))) == draw()
    with pytest.raises(AttributeError, match='nonsense'):
        dataset.nonsense  # noqa: B018


@HOOKS.register_module(force=True)
class StopAfter(Hook):
    """Ends a run in the middle of an epoch, as a crash would."""

    def __init__(self, iterations):
        self.iterations = iterations

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iterations:
            raise KeyboardInterrupt


def train(tiny_config, work_dir, name, stop_after=None, **changes):
    cfg = Config.fromfile(tiny_config, format_python_code=False)
    cfg.merge_from_dict(changes)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = name
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.save_best = None
    if stop_after is not None:
        cfg.custom_hooks.append(dict(type='StopAfter', iterations=stop_after))
    runner = Runner.from_cfg(cfg)
    before = set(multiprocessing.active_children())
    try:
        runner.train()
    except KeyboardInterrupt:
        assert stop_after is not None
    # Workers end with the training.
    assert set(multiprocessing.active_children()) <= before
    return copy.deepcopy(runner.model.state_dict())


@pytest.mark.parametrize('seed, num_workers', [(3, 0), (None, 2)])
def test_resumed_run_ends_like_an_uninterrupted_one(
    tiny_config, tmp_path, seed, num_workers
):
    options = {
        'randomness.seed': seed,
        'train_dataloader.num_workers': num_workers,
        # Workers that the resumed run has to start in an epoch of its own.
        'train_dataloader.persistent_workers': num_workers > 0,
    }
    train(tiny_config, tmp_path / 'b', f'part_{seed}', stop_after=6, **options)
    checkpoint = find_latest_checkpoint(tmp_path / 'b')
    assert checkpoint.endswith('epoch_1.pth')
    saved = torch.load(checkpoint, weights_only=False)
    # Without a seed in the config, the first run's own one decides.
    options['randomness.seed'] = saved['meta']['seed']
    whole = train(tiny_config, tmp_path / 'a', f'whole_{seed}', **options)
    options.update({'randomness.seed': seed, 'resume': True})
    resumed = train(tiny_config, tmp_path / 'b', f'rest_{seed}', **options)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    # The comparison means something: the second epoch changed the weights.
    assert not all(torch.equal(saved['state_dict'][key], whole[key]) for key in whole)
