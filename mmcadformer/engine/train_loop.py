# SPDX-License-Identifier: Apache-2.0
"""Epochs that can be begun in their middle, and batches that belong to their step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.runner import BaseLoop
from mmengine.runner import EpochBasedTrainLoop as HostTrainLoop
from mmseg.registry import LOOPS
from torch.utils.data import BatchSampler, DataLoader


@LOOPS.register_module()
class EpochBasedTrainLoop(HostTrainLoop):
    """MMEngine's loop, which can go on in the middle of an epoch.

    It takes the place of MMEngine's in every config of the scope ``mmseg``.

    Attributes:
        first_batch: Batches of the next epoch that were trained before.
    """

    first_batch = 0

    def run(self) -> Any:
        """Train, and let the data workers go, however it ends."""
        try:
            return super().run()
        finally:
            end_workers(self.dataloader)
            validation = self.runner._val_loop
            if isinstance(validation, BaseLoop):
                end_workers(validation.dataloader)

    def run_epoch(self) -> None:
        """Train on the batches of an epoch that are left."""
        first, self.first_batch = self.first_batch, 0
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if first:
            replace_batches(self.dataloader, _Rest(self.dataloader, first))
        for index, batch in enumerate(self.dataloader, first):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


class _Rest:
    """Batches of a loader, the first pass without its beginning."""

    def __init__(self, loader: DataLoader, first: int) -> None:
        self._batches: Any = loader.batch_sampler
        self._first = first

    def __iter__(self) -> Iterator[list[int]]:
        # Only when the first batch is asked for: a loader may make an iterator twice.
        first, self._first = self._first, 0
        yield from islice(iter(self._batches), first, None)

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)


class NumberedIndex(int):
    """The index of a sample, and how often the data set has been gone through.

    Attributes:
        turn: Counts from 0.
    """

    turn: int

    def __new__(cls, index: int, turn: int) -> NumberedIndex:
        """Numbers an index."""
        self = super().__new__(cls, index)
        self.turn = turn
        return self

    def __reduce__(self) -> tuple[type, tuple[int, int]]:
        """What a copy in a data worker is made of."""
        return NumberedIndex, (int(self), self.turn)


class EndlessBatches:
    """Batches of a run that counts steps, from a given one on, without an end.

    Takes the place of the batch sampler. Step k's indices are the same whether or
    not a run began there, and so are their turns.

    Args:
        batches: The loader's own batch sampler.
        first: Steps that were done before.
    """

    def __init__(self, batches: BatchSampler, first: int) -> None:
        self._batches = batches
        self._first = first

    def __iter__(self) -> Iterator[list[NumberedIndex]]:
        return islice(self._all(), self._first, None)

    def _all(self) -> Iterator[list[NumberedIndex]]:
        sampler: Any = self._batches.sampler
        # A sampler without an end deals the whole data set to all processes in turns.
        endless = isinstance(sampler, InfiniteSampler)
        world = sampler.world_size if endless else 1
        for turn in count():
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(turn)
            drawn = 0
            for batch in self._batches:
                yield [
                    NumberedIndex(index, turn + place * world // len(sampler))
                    for place, index in enumerate(batch, drawn)
                ]
                drawn += len(batch)
            if not drawn:
                return

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)


class StepBatches:
    """Iterator of a loader for MMEngine's ``IterBasedTrainLoop``.

    MMEngine passes over the steps that were done before, in its older line batch by
    batch; here the batch sampler did that already.

    Args:
        loader: Its batch sampler is an :class:`EndlessBatches`.
        passed: Calls that get nothing.
    """

    def __init__(self, loader: DataLoader, passed: int) -> None:
        self._loader = loader
        self._passed = passed
        self._iterator: Iterator | None = None

    def skip_iter(self, steps: int) -> None:
        """Pass over steps, which are passed over already."""
        self._passed = 0

    def __iter__(self) -> StepBatches:
        return self

    def __next__(self) -> Any:
        if self._passed:
            self._passed -= 1
            return None
        if self._iterator is None:
            self._iterator = iter(self._loader)
        return next(self._iterator)


def end_workers(loader: DataLoader) -> None:
    """Ends the processes of a loader that keeps them from epoch to epoch.

    PyTorch does it when the loader is collected as garbage. As part of a run, which is
    a cycle of references, its queues are closed before, and it waits 5 seconds for
    each worker.

    Args:
        loader: The next pass through it starts new ones.
    """
    iterator: Any = getattr(loader, '_iterator', None)
    if hasattr(iterator, '_shutdown_workers'):
        loader._iterator = None
        iterator._shutdown_workers()


def replace_batches(loader: DataLoader, batches: object) -> None:
    """Gives a loader another batch sampler, of the same length.

    DataLoader refuses it, because it can't know what belongs together.
    """
    object.__setattr__(loader, 'batch_sampler', batches)
