# SPDX-License-Identifier: Apache-2.0
"""Says how many expressions the text encoder had to cut."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class TruncationReportHook(Hook):
    """Logs after each epoch how many expressions were cut to ``max_tokens``.

    A cut expression may have lost the words that tell two objects apart, which no
    loss shows. Reads ``num_truncated``, ``num_expressions`` and ``max_tokens`` of
    ``model.text_encoder``, summed over all processes.
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self._before = dict(training=(0, 0), validation=(0, 0), test=(0, 0))

    def before_train_epoch(self, runner: Runner) -> None:
        """Remember where the counters stand."""
        self._before['training'] = _counters(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Remember where the counters stand."""
        self._before['validation'] = _counters(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Remember where the counters stand."""
        self._before['test'] = _counters(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Report on the training expressions of the epoch."""
        self._report(runner, 'training')

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Report on the validation expressions."""
        self._report(runner, 'validation')

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Report on the test expressions."""
        self._report(runner, 'test')

    def _report(self, runner: Runner, split: str) -> None:
        pairs = zip(_counters(runner), self._before[split], strict=True)
        device = next(runner.model.parameters()).device
        counts = torch.tensor([now - before for now, before in pairs], device=device)
        all_reduce(counts)
        cut, total = counts.tolist()
        text = f'{cut} of {total} {split} expressions'
        limit = _text_encoder(runner).max_tokens
        if not cut:
            runner.logger.info(f'{text} were cut, all fit into {limit} tokens')
            return
        # Not a warning, of which MMEngine's logger shows equal ones only once.
        runner.logger.info(
            f'{text} ({100 * cut / total:.1f} %) were longer than {limit} tokens '
            'and cut; model.text_encoder.max_tokens sets the limit'
        )


def _counters(runner: Runner) -> tuple[int, int]:
    encoder = _text_encoder(runner)
    return encoder.num_truncated, encoder.num_expressions


def _text_encoder(runner: Runner):
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.text_encoder
