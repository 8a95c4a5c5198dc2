# SPDX-License-Identifier: Apache-2.0
"""Stores with the weights from which presence score on there is a target."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...evaluation.presence import THRESHOLD
from ..wrapping import unwrapped


@HOOKS.register_module()
class PresenceThresholdHook(Hook):
    """Takes the threshold that validation has chosen into the presence head.

    ``GeneralizedReferringMetric(choose_threshold=True)`` returns it. The best
    checkpoint, which is saved after validation, has it; that of an epoch, saved before,
    has the one of the validation before. Does nothing without a presence head.
    """

    priority = 'NORMAL'  # before checkpoints are saved

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        model = unwrapped(runner.model)
        head = getattr(getattr(model, 'decode_head', None), 'presence', None)
        value = (metrics or {}).get(THRESHOLD)
        if head is not None and value is not None:
            head.threshold.fill_(value)
            runner.logger.info(f'presence threshold of the validation: {value:.4f}')
