# SPDX-License-Identifier: Apache-2.0
"""Says that steps were skipped, and ends a training that can't recover."""

from __future__ import annotations

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...utils.log import warn
from ..errors import TrainingError
from ..optim_wrapper import FiniteSteps
from .checkpoint_hook import last_good


@HOOKS.register_module()
class FiniteStepsHook(Hook):
    """Reads how many steps were skipped because they weren't finite.

    The optimizer wrapper skips them, see
    :class:`mmcadformer.engine.optim_wrapper.FiniteSteps`.

    Args:
        interval: Steps between two readings; each waits for the device once.
        max_in_row: Skipped steps in a row that end the training.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 10, max_in_row: int = 10) -> None:
        if interval < 1 or max_in_row < 1:
            raise ValueError(
                'FiniteStepsHook: interval and max_in_row must be 1 or more, not '
                f'{interval} and {max_in_row}'
            )
        self.interval = interval
        self.max_in_row = max_in_row
        self.skipped = 0

    def before_train(self, runner: Runner) -> None:
        """Say if the optimizer wrapper doesn't skip anything."""
        if not isinstance(runner.optim_wrapper, FiniteSteps):
            warn(
                f'{type(runner.optim_wrapper).__name__} is not one of the optimizer '
                'wrappers that skip steps with a loss or gradients that are not finite'
            )

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Read the counts every few steps, and after the last one.

        Raises:
            TrainingError: Too many steps in a row were skipped.
        """
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(
            runner
        ):
            self._read(runner)

    def _read(self, runner: Runner) -> None:
        if not isinstance(runner.optim_wrapper, FiniteSteps):
            return
        device = next(runner.model.parameters()).device
        counts = runner.optim_wrapper.skipped_steps().to(device)
        # In float16, a process may count what another leaves to the scaler.
        all_reduce(counts, 'max')
        skipped, in_row = counts.tolist()
        if not skipped:
            return
        self.skipped += skipped
        done = runner.iter + 1
        problem = (
            f'{skipped} of the last steps up to {done} skipped ({self.skipped} in '
            'all): their loss or gradients were not finite'
        )
        warn(problem)
        if in_row >= self.max_in_row:
            raise TrainingError(
                f'{in_row} steps in a row up to step {done} were skipped, as their '
                'loss or gradients were not finite: lower optim_wrapper.optimizer.lr, '
                'set optim_wrapper.clip_grad, or look at the data. '
                f'{last_good(runner)}'
            )
