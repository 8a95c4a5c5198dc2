# SPDX-License-Identifier: Apache-2.0
"""The frame of the necks that let levels interact on one small grid."""

from __future__ import annotations

from abc import abstractmethod

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

    Args:
        channels (int): Channels of the level.
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
        """Gate one level.

        Args:
            local (Tensor): The level's own map (B, C, H, W).
            mixed (Tensor): Its share of the mixed map (B, C, g, g).

        Returns:
            Tensor: (B, C, H, W).
        """
        size = local.shape[2:]

        def upsample(x: Tensor) -> Tensor:
            return F.interpolate(x, size=size, mode='bilinear', align_corners=False)

        gate = upsample(F.hardsigmoid(self.gate(mixed)))
        return self.local(local) * gate + upsample(self.inject(mixed))


class PooledInteractionNeck(BaseModule):
    """Pools all levels to one grid, mixes them there and injects the result.

    A subclass builds the blocks that mix (:meth:`build_blocks`) and runs them
    (:meth:`mix`).

    Args:
        in_channels (tuple[int]): Channels of the levels, fine to coarse.
        channels (int, optional): Hidden width; a quarter of the sum of
            ``in_channels`` if None (480 for Swin-B).
        grid_size (int, optional): Height and width of the grid; None takes the size
            of the coarsest level.
        **block_args: For :meth:`build_blocks`.
    """

    def __init__(
        self,
        in_channels: tuple[int, ...],
        channels: int | None,
        grid_size: int | None,
        **block_args,
    ) -> None:
        super().__init__()
        self.in_channels = tuple(in_channels)
        self.grid_size = grid_size
        total = sum(in_channels)
        channels = channels or total // 4
        self.reduce = nn.Conv2d(total, channels, 1)
        self.build_blocks(channels, **block_args)
        self.expand = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, total, 1)
        )
        self.gates = ModuleList(ScaleAwareGate(c) for c in in_channels)

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
    def build_blocks(self, channels: int, **kwargs) -> None:
        """Build the layers that :meth:`mix` runs, ``channels`` wide."""

    @abstractmethod
    def mix(self, x: Tensor, *text: Tensor) -> Tensor:
        """Mix a map (B, channels, g, g), returning the same shape."""

    def pool(self, x: Tensor, grid: int | tuple[int, int]) -> Tensor:
        """Average-pool a level (B, C, H, W) to the grid, giving (B, C, g, g)."""
        return F.adaptive_avg_pool2d(x, grid)

    def forward(self, inputs: tuple[Tensor, ...], *text: Tensor) -> tuple[Tensor, ...]:
        """Let the levels interact.

        Args:
            inputs (tuple[Tensor]): Levels (B, C_i, H_i, W_i).
            *text (Tensor): Language features (B, N, C_t) and mask, bool (B, N), for
                necks that read them.

        Returns:
            tuple[Tensor]: The same shapes.
        """
        grid = self.grid_size or inputs[-1].shape[2:]
        pooled = [self.pool(x, grid) for x in inputs]
        x = self.mix(self.reduce(torch.cat(pooled, dim=1)), *text)
        mixed = self.expand(x).split(self.in_channels, dim=1)
        return tuple(
            gate(local, part)
            for gate, local, part in zip(self.gates, inputs, mixed, strict=True)
        )
