# SPDX-License-Identifier: Apache-2.0
"""FIANet's text-aware multi-scale enhancement (TMEM)."""

from __future__ import annotations

from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..fusions import word_attention
from .pooled_interaction import PooledInteractionNeck


class TextAwareBlock(BaseModule):
    """``x + attention(LN(x), L)``, then ``x + FFN(LN(x))``.

    Args:
        channels (int): Channels of the map.
        text_channels (int): C_t.
    """

    def __init__(self, channels: int, text_channels: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = word_attention(channels, text_channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            nn.Linear(2 * channels, channels),
        )

    def forward(self, x: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Mix in the text.

        Args:
            x (Tensor): (B, H*W, C).
            text (Tensor): (B, N, C_t).
            text_mask (Tensor): Bool (B, N), True on real tokens.

        Returns:
            Tensor: (B, H*W, C).
        """
        x = x + self.attention(self.attention_norm(x), text, context_mask=text_mask)
        return x + self.feed_forward(x)


@MODELS.register_module()
class TextAwareMultiScaleNeck(PooledInteractionNeck):
    """Levels pooled to the coarsest size attend to the expression there.

    The frame is that of :class:`CrossScaleInteractionNeck`; inside are blocks of
    attention to the words.

    Args:
        in_channels (tuple[int]): Channels of the levels, fine to coarse.
        channels (int, optional): Hidden width; a quarter of the sum of
            ``in_channels`` if None (480 for Swin-B).
        text_channels (int): C_t. Default: 768.
        num_blocks (int): FIANet has 3 for RRSIS-D and 1 for RefSegRS. Default: 3.
    """

    uses_text = True

    def __init__(
        self,
        in_channels: tuple[int, ...] = (128, 256, 512, 1024),
        channels: int | None = None,
        text_channels: int = 768,
        num_blocks: int = 3,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            grid_size=None,
            text_channels=text_channels,
            num_blocks=num_blocks,
        )

    def build_blocks(self, channels: int, text_channels: int, num_blocks: int) -> None:
        """See :meth:`PooledInteractionNeck.build_blocks`."""
        self.blocks = ModuleList(
            TextAwareBlock(channels, text_channels) for _ in range(num_blocks)
        )

    def mix(self, x: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Mix a map (B, channels, g, g) with the text, returning the same shape."""
        size = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x, text, text_mask)
        return x.transpose(1, 2).unflatten(2, size)
