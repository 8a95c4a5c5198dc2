# SPDX-License-Identifier: Apache-2.0
"""MMEngine's notes on a run, without waiting for the device in each step."""

from __future__ import annotations

from mmengine.hooks import RuntimeInfoHook as HostRuntimeInfoHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..device_history import log_scalar


@HOOKS.register_module()
class RuntimeInfoHook(HostRuntimeInfoHook):
    """MMEngine's hook, which reads no value of a step from the device.

    It takes the place of MMEngine's in every config of the scope ``mmseg``. Whoever
    reads what is logged, first of all ``LoggerHook`` at its interval, waits then.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Note what the step returned."""
        for key, value in (outputs or {}).items():
            log_scalar(runner.message_hub, f'train/{key}', value)
