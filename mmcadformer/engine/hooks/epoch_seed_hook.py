# SPDX-License-Identifier: Apache-2.0
"""Randomness that depends on seed, step and sample, and on nothing else.

MMEngine seeds each data worker once, and stores no random state in checkpoints. A
resumed run therefore draws other expressions, augmentations and dropout masks than
one that was never interrupted. Workers that aren't persistent are worse: they start
every epoch from the same seed and repeat the draws of the first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from mmseg.registry import HOOKS
from torch.utils.data import Dataset, get_worker_info

from ..train_loop import EndlessBatches, StepBatches, end_workers, replace_batches

# Keeps the streams of samples and of the training process apart.
_SAMPLES, _PROCESS = 0, 1


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Makes random numbers a function of the run's seed and of how far it is.

    A run that is killed and resumes from a checkpoint ends with the same weights as
    an uninterrupted one (on CPU bit for bit; on CUDA as far as the kernels are
    deterministic), also from one in the middle of an epoch, and in runs that count
    steps in place of epochs. Samples are seeded one by one, so that neither the
    number of workers nor their persistence changes what is drawn; the training
    process is seeded at every step.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._epoch: torch.Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Take over the seed, which a resumed run reads from its checkpoint."""
        # In shared memory, because persistent workers outlive the epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        loader = runner.train_dataloader
        if not runner._randomness_cfg.get('diff_rank_seed', False):
            # The sampler was built before the checkpoint's seed was known.
            loader.sampler.seed = runner.seed
        dataset = loader.dataset
        if isinstance(dataset, SeededDataset):  # train() was called before
            dataset = dataset.dataset
        seeded = SeededDataset(dataset, _common_seed(runner), self._epoch)
        # DataLoader refuses a new dataset because its samplers hold the old one.
        # They read no more than its length, which stays.
        object.__setattr__(loader, 'dataset', seeded)
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            fast = getattr(loop, 'fast_forward_on_resume', False)
            end_workers(loader)  # which hold the data set as it was
            replace_batches(loader, EndlessBatches(loader.batch_sampler, runner.iter))
            passed = 0 if fast else runner.iter
            loop.dataloader_iterator = StepBatches(loader, passed)

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the data workers the epoch, and seed what samplers may draw from."""
        if self._epoch is not None:
            self._epoch.fill_(runner.epoch)
            _seed_process(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Begin the step from a known state."""
        if self._epoch is not None:
            _seed_process(runner)


class SeededDataset(Dataset):
    """A dataset whose samples draw from generators seeded per epoch and index.

    An index that is a :class:`~mmcadformer.engine.train_loop.NumberedIndex` brings
    its own number in place of the epoch.

    All else is the wrapped dataset's.

    Args:
        dataset: Any map-style dataset that uses the global generators of
            ``random``, ``numpy`` and ``torch``.
        seed: The run's seed.
        epoch: Integer tensor () in shared memory, set by the training process.
    """

    def __init__(self, dataset: Dataset, seed: int, epoch: torch.Tensor) -> None:
        self.dataset = dataset
        self._seed = seed
        self._epoch = epoch

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':  # asked while unpickling
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # map-style, so it has one

    def __getitem__(self, index: int) -> Any:
        turn = getattr(index, 'turn', int(self._epoch))
        key = (self._seed, turn, _SAMPLES, int(index))
        if get_worker_info() is not None:
            _seed_cpu(key)
            return self.dataset[index]
        with _unchanged_generators():
            _seed_cpu(key)
            return self.dataset[index]


def _common_seed(runner: Runner) -> int:
    """The seed that all processes share."""
    if runner._randomness_cfg.get('diff_rank_seed', False):
        return runner.seed - runner.rank
    return runner.seed


def _seed_process(runner: Runner) -> None:
    """Seeds the training process by seed, step and rank."""
    key = (_common_seed(runner), runner.iter, _PROCESS, runner.rank)
    torch.manual_seed(_seed_cpu(key))  # every device's generator


def _seed_cpu(key: tuple[int, ...]) -> int:
    """Seeds the generators of the CPU; returns the seed of PyTorch's."""
    state = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))
    # Not torch.manual_seed, which queues work for CUDA at every call.
    torch.default_generator.manual_seed(int(state[2]))
    return int(state[2])


@contextmanager
def _unchanged_generators() -> Iterator[None]:
    """Keeps the training process's own random numbers from those of its samples."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
