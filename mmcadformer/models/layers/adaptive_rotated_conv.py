# SPDX-License-Identifier: Apache-2.0
"""Adaptive rotated convolution (ARC), as RMSIN's and CADFormer's decoders use it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

_TAPS = 3  # the kernel is 3x3; rotation of other sizes is not defined here


def rotation_matrix(theta: Tensor) -> Tensor:
    """Bilinear resampling matrix that rotates a 3x3 kernel.

    The rotated tap at ``p = (dx, dy)`` (x right, y down, both in {-1, 0, 1}) is the
    kernel sampled at ``(clamp(cos t dx - sin t dy), clamp(sin t dx + cos t dy))``,
    clamped to [-1, 1].

    Args:
        theta: Angles in radians, any shape (...).

    Returns:
        (..., 9, 9); ``rotated = matrix @ kernel`` over the nine taps in row-major
        order. Each row sums to 1.
    """
    axis = torch.arange(-1, 2, device=theta.device, dtype=theta.dtype)
    dy, dx = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing='ij'))
    cos, sin = theta.cos().unsqueeze(-1), theta.sin().unsqueeze(-1)
    x = (cos * dx - sin * dy).clamp(-1, 1).unsqueeze(-1)  # (..., 9, 1)
    y = (sin * dx + cos * dy).clamp(-1, 1).unsqueeze(-1)
    return (1 - (x - dx).abs()).clamp(min=0) * (1 - (y - dy).abs()).clamp(min=0)


class RotationRouting(BaseModule):
    """Predicts, per sample, a weight and an angle for each kernel.

    Depthwise 3x3, LayerNorm over channels, ReLU, global average pool; then
    ``sigmoid(W_a z + b)`` and ``max_angle * softsign(W_t z)``, degrees.
    """

    def __init__(
        self, channels: int, num_kernels: int, max_angle: float, dropout: float
    ) -> None:
        super().__init__()
        self.max_angle = math.radians(max_angle)
        self.depthwise = nn.Conv2d(
            channels, channels, 3, padding=1, groups=channels, bias=False
        )
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.weight = nn.Linear(channels, num_kernels)
        self.angle = nn.Linear(channels, num_kernels, bias=False)
        # As ARC's authors start all three layers.
        for module in (self.depthwise, self.weight, self.angle):
            trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(self.weight.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From a map (B, C, H, W), weights and angles in radians (B, num_kernels)."""
        x = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        pooled = F.relu(x).mean(dim=(1, 2))
        weight = self.weight(self.dropout(pooled)).sigmoid()
        angle = self.max_angle * F.softsign(self.angle(self.dropout(pooled)))
        return weight, angle


class AdaptiveRotatedConv2d(BaseModule):
    """A 3x3 convolution whose kernels turn with the content of each sample.

    The kernel of sample b is ``sum_n weight[b, n] * R(angle[b, n]) W_n``; the whole
    batch runs as one grouped convolution. Stride 1, padding 1, no bias.

    Args:
        num_kernels: Kernels that are mixed.
        max_angle: Bound of the rotation in degrees.
        dropout: Dropout in the routing.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_kernels: int = 1,
        max_angle: float = 40.0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.routing = RotationRouting(in_channels, num_kernels, max_angle, dropout)
        self.weight = nn.Parameter(
            torch.empty(num_kernels, out_channels, in_channels, _TAPS, _TAPS)
        )
        for kernel in self.weight.detach():
            nn.init.kaiming_normal_(kernel, mode='fan_out', nonlinearity='relu')

    def kernels(self, weight: Tensor, angle: Tensor) -> Tensor:
        """The convolution kernel of each sample (B, out_channels, in_channels, 3, 3).

        ``weight`` and ``angle``, in radians, are those of the routing.
        """
        shape = self.weight.shape[1:]
        mixing = weight[..., None, None] * rotation_matrix(angle)  # (B, n, 9, 9)
        mixing = mixing.transpose(2, 3).flatten(1, 2)  # (B, n*9, 9)
        taps = self.weight.flatten(3).permute(1, 2, 0, 3)  # (out, in, n, 9)
        # In this order the result is contiguous, without which grouped convolutions
        # of several samples take half as long again.
        rotated = taps.reshape(1, shape[0] * shape[1], -1) @ mixing
        return rotated.view(-1, *shape)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve each sample (B, in_channels, H, W) with its own rotated kernel."""
        batch, _, height, width = x.shape
        kernels = self.kernels(*self.routing(x)).flatten(0, 1)
        out = F.conv2d(
            x.reshape(1, -1, height, width), kernels, padding=1, groups=batch
        )
        return out.view(batch, -1, height, width)
