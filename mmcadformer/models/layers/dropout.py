# SPDX-License-Identifier: Apache-2.0
"""Dropout whose random numbers cost little on CPUs.

PyTorch draws a Bernoulli number for each value, one after the other: 7 ns each, which
is a tenth of a training step of CADFormer. One 64-bit number decides about four values
here.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16


def drop_rate(p: float) -> float:
    """The rate that :func:`keep_mask` drops at: ``p`` to the nearest of 65536 parts.

    0.1 becomes 0.1000061.
    """
    return round(p * _LEVELS) / _LEVELS


def keep_mask(shape: torch.Size | tuple[int, ...], p: float) -> Tensor:
    """Independent random numbers on the CPU, 1 to keep and 0 to drop.

    From PyTorch's default generator.

    Args:
        shape: Of the result.
        p: Probability of 0, below 1; :func:`drop_rate` says how exactly it is met.

    Returns:
        Int16, of the shape.
    """
    count = math.prod(shape)
    numbers = torch.empty(-(-count // 4), dtype=torch.int64)
    numbers.random_(-(1 << 63), None)  # all 64 bits; random_() leaves the sign out
    bits = numbers.view(torch.int16)[:count].view(shape)
    return bits.ge_(round(p * _LEVELS) - _LEVELS // 2)


def draws_cheaply(x: Tensor) -> bool:
    """Whether dropout on a tensor's device gains by :func:`keep_mask`.

    GPUs draw within their fused kernels; compilers and exporters do their own.
    """
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return x.device.type == 'cpu' and not traced


class Dropout(nn.Dropout):
    """``nn.Dropout``, on CPUs with the masks of :func:`keep_mask`."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop values at random in training.

        Args:
            x: Any shape.
        """
        rate = drop_rate(self.p)
        if not self.training or not 0 < rate < 1 or not draws_cheaply(x):
            return F.dropout(x, self.p, self.training)
        mask = keep_mask(x.shape, rate).to(x.dtype)
        # Not in the mask, whose few digits in bfloat16 would make all values smaller.
        return x * mask * (1 / (1 - rate))
