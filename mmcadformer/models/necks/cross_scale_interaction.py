# SPDX-License-Identifier: Apache-2.0
"""RMSIN's cross-scale interaction, which CADFormer's released code keeps as a neck."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from .pooled_interaction import PooledInteractionNeck

_HEADS = 8
_KEY_DIM = 32  # per head, for queries and keys
_VALUE_DIM = 64  # per head


class CrossScaleAttention(BaseModule):
    """Attention among the tokens of one map and two subsampled copies of it.

    Args:
        grid_size: Height and width of the map. The token mixing is a linear
            layer over tokens, so the size is fixed; the neck pools to it.
        released_layout: Mix up tokens and channels as the released code does: it reads
            the attention result (B, T, 512) as if it were (B, 512, T), and the values
            (B, 8, tokens, 64) as a map (B, 512, height, width). Weights trained with it
            need it; it has no other merit.
    """

    def __init__(
        self, channels: int, grid_size: int, released_layout: bool = False
    ) -> None:
        super().__init__()
        self.released_layout = released_layout
        self.norm = nn.BatchNorm2d(channels)
        self.subsample2 = self._depthwise(channels, kernel=3, stride=2)
        self.subsample3 = self._depthwise(channels, kernel=5, stride=3)
        tokens = grid_size**2
        all_tokens = tokens + (-(-grid_size // 2)) ** 2 + (-(-grid_size // 3)) ** 2
        width = _HEADS * (2 * _KEY_DIM + _VALUE_DIM)
        self.qkv = nn.Linear(channels, width, bias=False)
        self.qkv_norm = nn.BatchNorm1d(width)
        values = _HEADS * _VALUE_DIM
        self.local = nn.Sequential(
            nn.Hardswish(), nn.Conv2d(values, values, 3, padding=1, groups=values)
        )
        self.mix_tokens = nn.Linear(all_tokens, tokens)
        self.project = nn.Linear(values, channels)
        self.out = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Hardswish(), nn.Conv2d(channels, channels, 1)
        )

    @staticmethod
    def _depthwise(channels: int, kernel: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Mix the tokens of all three scales of (B, C, grid_size, grid_size)."""
        size = x.shape[2:]
        x = self.norm(x)
        scales = (x, self.subsample2(x), self.subsample3(x))
        tokens = torch.cat([s.flatten(2) for s in scales], dim=2).transpose(1, 2)
        qkv = self.qkv_norm(self.qkv(tokens).transpose(1, 2)).transpose(1, 2)
        qkv = qkv.unflatten(2, (_HEADS, -1)).transpose(1, 2)  # (B, heads, T, 128)
        q, k, v = qkv.split((_KEY_DIM, _KEY_DIM, _VALUE_DIM), dim=-1)
        attended = F.scaled_dot_product_attention(q, k, v)  # (B, heads, T, 64)
        values = v[:, :, : size.numel()]
        if self.released_layout:
            # Not len(x), which tracers take for a constant.
            batch, count = x.shape[0], attended.shape[2]
            attended = attended.transpose(1, 2).reshape(batch, -1, count)
            values = values.reshape(batch, -1, size.numel())
        else:
            attended = attended.transpose(2, 3).flatten(1, 2)  # (B, heads * 64, T)
            values = values.transpose(2, 3).flatten(1, 2)
        local = self.local(values.unflatten(2, size)).flatten(2)
        mixed = (self.mix_tokens(attended) + local).transpose(1, 2)
        return self.out(self.project(mixed).transpose(1, 2).unflatten(2, size))


class ConvFeedForward(BaseModule):
    """BN, 1x1 conv c->2c, BN, grouped 3x3 conv, ReLU6, 1x1 conv 2c->c."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 2 * channels
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=channels),
            nn.ReLU6(),
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply to a map (B, c, H, W), giving (B, c, H, W)."""
        return self.layers(x)


class IntraScaleFeedForward(BaseModule):
    """A :class:`ConvFeedForward` with a residual for each part of the channels."""

    def __init__(self, parts: tuple[int, ...]) -> None:
        super().__init__()
        self.parts = parts
        self.feed_forwards = ModuleList(ConvFeedForward(part) for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to a map (B, sum(parts), H, W), giving the same shape."""
        parts = x.split(self.parts, dim=1)
        pairs = zip(parts, self.feed_forwards, strict=True)
        return torch.cat([part + layer(part) for part, layer in pairs], dim=1)


@MODELS.register_module()
class CrossScaleInteractionNeck(PooledInteractionNeck):
    """Cross-scale interaction between backbone and decode head, for any input size.

    All levels are average-pooled to one grid, mixed there, split again and injected
    into each level by a scale-aware gate. The released code fixes the grid to the
    15x15 of a 480x480 input; here other inputs are pooled to the same grid, so the
    token mixing keeps its weights. The equations and figures of the CADFormer paper
    don't show this part: ``neck=None`` is the paper to the letter.

    Args:
        in_channels, channels: See :class:`PooledInteractionNeck`; ``channels`` must
            be divisible by 15.
        grid_size: Height and width of the pooled maps.
        released_layout: See :class:`CrossScaleAttention`; weights that the authors of
            RMSIN or CADFormer trained need True.
    """

    def __init__(
        self,
        in_channels: tuple[int, ...] = (128, 256, 512, 1024),
        channels: int | None = None,
        grid_size: int = 15,
        released_layout: bool = False,
    ) -> None:
        super().__init__(in_channels, channels, grid_size)
        if self.channels % 15:
            raise ValueError(
                f'neck.channels={self.channels} must be divisible by 15: it is split '
                'into 1, 2, 4 and 8 fifteenths'
            )
        parts = tuple(self.channels // 15 * share for share in (1, 2, 4, 8))
        attention = (self.channels, grid_size, released_layout)
        self.attention1 = CrossScaleAttention(*attention)
        self.intra_scale = IntraScaleFeedForward(parts)
        self.attention2 = CrossScaleAttention(*attention)
        self.feed_forward = ConvFeedForward(self.channels)
        self.build_exit()

    def mix(
        self, x: Tensor, text: Tensor | None = None, text_mask: Tensor | None = None
    ) -> Tensor:
        x = x + self.attention1(x)
        x = x + self.intra_scale(x)
        x = x + self.attention2(x)
        return x + self.feed_forward(x)
