# SPDX-License-Identifier: Apache-2.0
"""The frame of the necks that let levels interact on one small grid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmengine.model.weight_init import trunc_normal_init
from torch import Tensor, nn

from ..layers import CrossModalAttention


class ScaleAwareGate(BaseModule):
    """Injects the mixed global features into one level.

    ``BN(conv(local)) * up(hardsigmoid(BN(conv(mixed)))) + up(BN(conv(mixed)))`` with
    three separate 1x1 convolutions, bilinear upsampling without aligned corners.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()

        def conv_bn() -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)
            )

        self.local = conv_bn()
        self.gate = conv_bn()
        self.inject = conv_bn()

    def forward(self, local: Tensor, mixed: Tensor) -> Tensor:
        """Inject the level's share (B, C, g, g) into its own map (B, C, H, W)."""
        size = local.shape[2:]

        def upsample(x: Tensor) -> Tensor:
            return F.interpolate(x, size=size, mode='bilinear', align_corners=False)

        gate = upsample(F.hardsigmoid(self.gate(mixed)))
        return self.local(local) * gate + upsample(self.inject(mixed))


class PooledInteractionNeck(BaseModule):
    """Pools all levels to one grid, mixes them there and injects the result.

    A subclass builds, after this constructor, the blocks that mix, then calls
    :meth:`build_exit`; the order is that of the released code. It runs its blocks in
    :meth:`mix`. The first two arguments are the same for all such necks.

    Args:
        in_channels: Channels of the levels, fine to coarse.
        channels: Hidden width; a quarter of the sum of ``in_channels`` if None
            (480 for Swin-B).
        grid_size: Height and width of the grid; None takes the size of the coarsest
            level.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int | None, grid_size: int | None
    ) -> None:
        super().__init__()
        self.in_channels = tuple(in_channels)
        self.grid_size = grid_size
        self.channels = channels or sum(in_channels) // 4
        self.reduce = nn.Conv2d(sum(in_channels), self.channels, 1)

    def build_exit(self) -> None:
        """Build the way from the mixed map back into the levels."""
        self.expand = nn.Sequential(
            nn.BatchNorm2d(self.channels),
            nn.Conv2d(self.channels, sum(self.in_channels), 1),
        )
        self.gates = ModuleList(ScaleAwareGate(c) for c in self.in_channels)

    def init_weights(self) -> None:
        """Truncated normal, 0.02, and zero biases for linear layers.

        The released code builds these necks inside the backbone, whose start they
        share. It leaves 1x1 convolutions at PyTorch's start, and such are the
        projections of the attention to words.
        """
        super().init_weights()
        projections = {
            layer
            for module in self.modules()
            if isinstance(module, CrossModalAttention)
            for layer in module.children()
        }
        for module in self.modules():
            if isinstance(module, nn.Linear) and module not in projections:
                trunc_normal_init(module, std=0.02)

    @abstractmethod
    def mix(self, x: Tensor, text: Tensor | None, text_mask: Tensor | None) -> Tensor:
        """Mix a map (B, channels, g, g), returning the same shape."""

    def pool(self, x: Tensor, grid: int | tuple[int, int]) -> Tensor:
        """Average-pool a level (B, C, H, W) to the grid, giving (B, C, g, g)."""
        return F.adaptive_avg_pool2d(x, grid)

    def forward(
        self,
        inputs: tuple[Tensor, ...],
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Let the levels (B, C_i, H_i, W_i), fine to coarse, interact.

        They keep their shapes. Some necks read language features (B, N, C_t), too,
        and their mask, bool (B, N), True on real tokens.
        """
        coarsest = inputs[-1]
        grid = self.grid_size or (coarsest.shape[2], coarsest.shape[3])
        pooled = [self.pool(x, grid) for x in inputs]
        x = self.mix(self.reduce(torch.cat(pooled, dim=1)), text, text_mask)
        mixed = self.expand(x).split(self.in_channels, dim=1)
        return tuple(
            gate(local, part)
            for gate, local, part in zip(self.gates, inputs, mixed, strict=True)
        )
