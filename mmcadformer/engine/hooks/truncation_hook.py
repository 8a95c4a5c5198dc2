# SPDX-License-Identifier: Apache-2.0
"""Says how many expressions the text encoder had to cut."""

from __future__ import annotations

from typing import Protocol

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..wrapping import unwrapped


class _CountingEncoder(Protocol):
    num_truncated: int
    num_expressions: int
    max_tokens: int


_SPLITS = dict(train='training', val='validation', test='test')


@HOOKS.register_module()
class TruncationReportHook(Hook):
    """Logs after each epoch how many expressions were cut to ``max_tokens``.

    A cut expression may have lost the words that tell two objects apart, which no
    loss shows. Reads ``num_truncated``, ``num_expressions`` and ``max_tokens`` of
    ``model.text_encoder``, summed over all processes.
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self._before = dict.fromkeys(_SPLITS, (0, 0))

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self._before[mode] = _counters(runner)

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        pairs = zip(_counters(runner), self._before[mode], strict=True)
        device = next(runner.model.parameters()).device
        counts = torch.tensor([now - before for now, before in pairs], device=device)
        all_reduce(counts)
        cut, total = counts.tolist()
        text = f'{cut} of {total} {_SPLITS[mode]} expressions'
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


def _text_encoder(runner: Runner) -> _CountingEncoder:
    return unwrapped(runner.model).text_encoder
