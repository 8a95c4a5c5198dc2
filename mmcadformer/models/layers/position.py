# SPDX-License-Identifier: Apache-2.0
"""Absolute positions for backbones that learn from scratch."""

from __future__ import annotations

import torch
from torch import Tensor


def sine_position_embedding(height: int, width: int, channels: int) -> Tensor:
    """Sines and cosines of both coordinates at falling frequencies.

    The two-dimensional form of the Transformer's position encoding (Vaswani et al.
    2017, Sec. 3.5): the first half of the channels encodes the row, the second the
    column. The result is (1, height * width, channels), values in [-1, 1]; the number
    of channels is a multiple of 4.
    """
    if channels % 4:
        raise ValueError(f'channels={channels} must be a multiple of 4')
    count = channels // 4
    frequency = 10000.0 ** (-torch.arange(count) / count)
    rows = torch.arange(height).repeat_interleave(width)
    columns = torch.arange(width).repeat(height)
    parts = []
    for position in (rows, columns):
        angle = position.unsqueeze(1) * frequency
        parts += [angle.sin(), angle.cos()]
    return torch.cat(parts, dim=1).unsqueeze(0)
