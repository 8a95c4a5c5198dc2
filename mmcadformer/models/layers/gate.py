# SPDX-License-Identifier: Apache-2.0
"""The projection and the language gate of the LAVT family."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn


class Projection(nn.Sequential):
    """``Proj`` of the paper: a 1x1 convolution (a linear layer on a sequence), GELU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Linear(in_channels, out_channels), nn.GELU())


class LanguageGate(BaseModule):
    """``Gate(x) = tanh(W_2 relu(W_1 x)) * x``; no biases, as in LAVT."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels, bias=False),
            nn.ReLU(),
            nn.Linear(channels, channels, bias=False),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of each position (B, N, C), giving the same shape."""
        return self.mlp(x) * x  # Eq. (4)
