# SPDX-License-Identifier: Apache-2.0
"""Ending a training in order at Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .errors import TrainingStopped
from .hooks.checkpoint_hook import CheckpointHook

# Steps between two questions to the other processes, each of which waits for a device.
_INTERVAL = 10


class StopHook(Hook):
    """Ends the training after the step in which a signal came, and saves it.

    Several processes agree on the step, every few of them. A second Ctrl-C ends the
    process at once.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.signal = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM for the end of the step."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        former = [signal.signal(number, self._note) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, former, strict=True):
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT == self.signal:
            raise KeyboardInterrupt
        self.signal = number

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Stop if the training shall.

        Raises:
            TrainingStopped: A signal came.
        """
        self._stop_if_told(runner, runner.iter, runner.iter + 1)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: object = None,
    ) -> None:
        """The same in a validation, which is done again when the run resumes."""
        self._stop_if_told(runner, batch_idx, runner.iter)

    def _stop_if_told(self, runner: Runner, index: int, steps: int) -> None:
        told = self.signal
        if get_world_size() > 1:
            if index % _INTERVAL:
                return
            device = next(runner.model.parameters()).device
            number = torch.tensor(told, device=device)
            all_reduce(number, 'max')
            told = int(number)
        if told:
            raise TrainingStopped(told, self._save(runner, steps))

    def _save(self, runner: Runner, steps: int) -> str:
        meta = dict(epoch=runner.epoch, iter=steps)
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                return f'its state after step {steps} is in ' + hook.save_interrupted(
                    runner, meta
                )
        return 'its state is not saved, as the config has no CheckpointHook'
