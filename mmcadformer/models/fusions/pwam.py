# SPDX-License-Identifier: Apache-2.0
"""Pixel-word attention (PWAM) of LAVT, on which LGCE, RMSIN and FIANet build."""

from __future__ import annotations

from mmengine.model import BaseModule
from mmengine.model.weight_init import trunc_normal_
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers.attention import attention_to_words
from ..layers.gate import LanguageGate, Projection
from .base import HW, FusionOutput, StageFusion, WordAttention


class PixelWordAlignment(BaseModule):
    """``F = GELU(conv(GELU(conv(X)) * attention(X, L)))``.

    Unlike CADFormer's LGVLA, the query starts from the stage's features and not
    from their projection.
    """

    def __init__(
        self, visual_channels: int, text_channels: int, num_heads: int = 1
    ) -> None:
        super().__init__()
        self.visual_proj = Projection(visual_channels, visual_channels)
        self.attention = attention_to_words(visual_channels, text_channels, num_heads)
        self.out_proj = Projection(visual_channels, visual_channels)

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Align X (B, H*W, C_i) with L (B, N, C_t), giving F (B, H*W, C_i)."""
        attended = self.attention(visual, text, context_mask=text_mask)
        return self.out_proj(self.visual_proj(visual) * attended)


@MODELS.register_module()
class PWAM(StageFusion):
    """LAVT's fusion: the aligned feature to the decoder, gated to the next stage.

    ``X + gate(F)`` goes on to patch merging; the text stays the same. The last
    stage has no next one and therefore no gate (the released code builds it all
    the same).

    Args:
        gated_to_decoder: Give the decoder ``gate(F)`` instead of F.
    """

    def __init__(
        self,
        visual_channels: int,
        text_channels: int,
        num_heads: int = 1,
        gated_to_decoder: bool = False,
        text_used_later: bool = True,
        visual_used_later: bool = True,
    ) -> None:
        super().__init__()
        self.gated_to_decoder = gated_to_decoder
        self.align = PixelWordAlignment(visual_channels, text_channels, num_heads)
        gated = visual_used_later or gated_to_decoder
        self.gate = LanguageGate(visual_channels) if gated else None

    def init_weights(self) -> None:
        """PyTorch's start for the 1x1 convolutions, truncated normal 0.02 for gates."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                module.reset_parameters()
        for module in self.modules():
            if isinstance(module, LanguageGate):
                for layer in (module.mlp[0], module.mlp[2]):
                    trunc_normal_(layer.weight, std=0.02)

    def word_attention(
        self, visual: Tensor, text: Tensor, text_mask: Tensor
    ) -> WordAttention:
        if text_mask.dim() == 3:  # FIANet's parts, of which the first is the whole
            text, text_mask = text[:, 0], text_mask[:, 0]
        to_words = self.align.attention.similarity(visual, text, text_mask)
        return WordAttention(pixels_to_words=to_words.mean(dim=1))

    def forward(
        self, visual: Tensor, hw_shape: HW, text: Tensor, text_mask: Tensor
    ) -> FusionOutput:
        aligned = self.align(visual, text, text_mask)
        if self.gate is None:
            return FusionOutput(aligned, visual, text)
        gated = self.gate(aligned)
        to_decoder = gated if self.gated_to_decoder else aligned
        return FusionOutput(to_decoder, visual + gated, text)
