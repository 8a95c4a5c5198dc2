# SPDX-License-Identifier: Apache-2.0
"""FIANet's text-aware multi-scale enhancement (TMEM)."""

from __future__ import annotations

from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import attention_to_words
from .pooled_interaction import PooledInteractionNeck


class TextAwareBlock(BaseModule):
    """``x + attention(LN(x), L)``, then ``x + FFN(LN(x))``."""

    def __init__(self, channels: int, text_channels: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = attention_to_words(channels, text_channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, 2 * channels),
            nn.GELU(),
            nn.Linear(2 * channels, channels),
        )

    def forward(self, x: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Mix the text (B, N, C_t) into the map (B, H*W, C), giving the same shape."""
        x = x + self.attention(self.attention_norm(x), text, context_mask=text_mask)
        return x + self.feed_forward(x)


@MODELS.register_module()
class TextAwareMultiScaleNeck(PooledInteractionNeck):
    """Levels pooled to the coarsest size attend to the expression there.

    The frame is that of :class:`CrossScaleInteractionNeck`; inside are blocks of
    attention to the words.

    Args:
        in_channels, channels: See :class:`PooledInteractionNeck`.
        num_blocks: FIANet has 3 for RRSIS-D and 1 for RefSegRS.
    """

    uses_text = True

    def __init__(
        self,
        in_channels: tuple[int, ...] = (128, 256, 512, 1024),
        channels: int | None = None,
        text_channels: int = 768,
        num_blocks: int = 3,
    ) -> None:
        super().__init__(in_channels, channels, grid_size=None)
        self.blocks = ModuleList(
            TextAwareBlock(self.channels, text_channels) for _ in range(num_blocks)
        )
        self.build_exit()

    def mix(self, x: Tensor, text: Tensor | None, text_mask: Tensor | None) -> Tensor:
        size = x.shape[2:]
        x = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x, text, text_mask)
        return x.transpose(1, 2).unflatten(2, size)
