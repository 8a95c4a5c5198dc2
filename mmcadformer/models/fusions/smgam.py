# SPDX-License-Identifier: Apache-2.0
"""Semantic mutual guidance alignment (Sec. IV-B of the CADFormer paper)."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers.attention import CrossModalAttention, attention_to_words
from ..layers.gate import LanguageGate, Projection
from .base import HW, FusionOutput, StageFusion, WordAttention


class LGVLA(BaseModule):
    """Language-guided vision-language alignment: pixels query words, Eqs. (1)-(4).

    Args:
        visual_channels, text_channels: C_i and C_t.
        num_heads: Attention heads; the scale stays ``C_i ** -0.5``.
        norm: Keep the instance norms over pixels (query, output) and the 1x1
            convolution after the weighted sum that the LAVT family has and the
            equations leave out. False is the equations to the letter.
        gate: Build the gate of Eq. (4).
    """

    def __init__(
        self,
        visual_channels: int,
        text_channels: int,
        num_heads: int = 1,
        norm: bool = True,
        gate: bool = True,
    ) -> None:
        super().__init__()
        self.visual_proj = Projection(visual_channels, visual_channels)
        self.attention = attention_to_words(
            visual_channels, text_channels, num_heads, norm
        )
        self.out_proj = Projection(visual_channels, visual_channels)
        self.gate = LanguageGate(visual_channels) if gate else nn.Identity()

    def forward(
        self,
        visual: Tensor,
        text: Tensor,
        text_mask: Tensor,
        with_ungated: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Refine V_i (B, H_i*W_i, C_i) by L_i (B, N, C_t), giving V_i' of its shape.

        ``text_mask`` is bool (B, N), True on real tokens. The feature before the
        gate is the second of a pair, if it is wanted.
        """
        projected = self.visual_proj(visual)
        attended = self.attention(projected, text, context_mask=text_mask)  # Eq. (1)
        guided = attended * projected  # Eq. (2)
        ungated = self.out_proj(guided)
        refined = self.gate(ungated)  # Eq. (3)
        return (refined, ungated) if with_ungated else refined

    def similarity(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Similarity of pixels to words (B, num_heads, H_i*W_i, N)."""
        query = self.visual_proj(visual)
        return self.attention.similarity(query, text, text_mask)  # Eq. (1)


class VGLVA(BaseModule):
    """Vision-guided language-vision alignment: words query pixels, Eqs. (6)-(8).

    Queries and keys are C_i wide as the paper says; values are C_t wide so that
    they can be multiplied with the projected language features.

    Args:
        visual_channels, text_channels, num_heads, gate: As for :class:`LGVLA`.
        norm: Keep the instance norms over pixels (keys, values) and the 1x1 convolution
            after the weighted sum. There is no norm over tokens: it would let padding
            influence the result.
    """

    def __init__(
        self,
        visual_channels: int,
        text_channels: int,
        num_heads: int = 1,
        norm: bool = True,
        gate: bool = True,
    ) -> None:
        super().__init__()
        self.text_proj = Projection(text_channels, text_channels)
        self.attention = CrossModalAttention(
            query_channels=text_channels,
            context_channels=visual_channels,
            attn_channels=visual_channels,
            out_channels=text_channels,
            num_heads=num_heads,
            norm_context=norm,
            project_out=norm,
        )
        self.out_proj = Projection(text_channels, text_channels)
        self.gate = LanguageGate(text_channels) if gate else nn.Identity()

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Refine the language features by the image, giving L_i', zero on padding.

        Arguments and shapes are those of :meth:`LGVLA.forward`.
        """
        projected = self.text_proj(text)
        attended = self.attention(projected, visual)  # Eq. (6)
        guided = attended * projected  # Eq. (7)
        refined = self.gate(self.out_proj(guided))  # Eq. (8)
        return refined * text_mask.unsqueeze(-1).to(refined.dtype)

    def similarity(self, visual: Tensor, text: Tensor) -> Tensor:
        """Similarity of words to pixels (B, num_heads, N, H_i*W_i)."""
        return self.attention.similarity(self.text_proj(text), visual)  # Eq. (6)


@MODELS.register_module()
class SMGAM(StageFusion):
    """One stage of semantic mutual guidance: LGVLA and VGLVA on the same V_i, L_i.

    The decoder receives V_i' after the gate and the next stage V_i + V_i', Eq. (5);
    the language features become L_i + L_i', Eq. (9). The authors' released code
    gives the decoder the feature *before* the gate and feeds VGLVA with the stage's
    input; the paper's text is followed here.

    On the last stage VGLVA is left out if nothing reads the text, and LGVLA's gate
    if the decoder takes the feature before it.

    Args:
        lgvla: Use LGVLA; without it V_i goes on unchanged.
        vglva: Use VGLVA; without it L_i goes on unchanged.
        norm: See :class:`LGVLA` and :class:`VGLVA`.
        gate: Gate both refined features, Eqs. (4) and (8).
        gated_to_decoder: Give the decoder V_i' after the gate, as the paper has it;
            False is before the gate, as in the LAVT family's code.
        steady_language: Let VGLVA read each token of L_i at unit scale, by a LayerNorm
            without weights. The equations have no such norm: L_i' is a product with
            L_i there, so that language features can grow from stage to stage until
            all tokens are alike, as they do in some trainings from scratch.
    """

    def __init__(
        self,
        visual_channels: int,
        text_channels: int,
        lgvla: bool = True,
        vglva: bool = True,
        num_heads: int = 1,
        norm: bool = True,
        gate: bool = True,
        gated_to_decoder: bool = True,
        steady_language: bool = False,
        text_used_later: bool = True,
        visual_used_later: bool = True,
    ) -> None:
        super().__init__()
        self.gated_to_decoder = gated_to_decoder
        self.steady_language = steady_language
        self.text_channels = text_channels
        self.lgvla, self.vglva = None, None
        args = (visual_channels, text_channels, num_heads, norm)
        if lgvla:
            gate_used = gated_to_decoder or visual_used_later
            self.lgvla = LGVLA(*args, gate=gate and gate_used)
        if vglva and text_used_later:
            self.vglva = VGLVA(*args, gate=gate)

    def forward(
        self, visual: Tensor, hw_shape: HW, text: Tensor, text_mask: Tensor
    ) -> FusionOutput:
        to_decoder, to_next_stage = visual, visual
        if self.lgvla is not None:
            if self.gated_to_decoder:
                to_decoder = gated = self.lgvla(visual, text, text_mask)
            else:
                gated, to_decoder = self.lgvla(visual, text, text_mask, True)
            to_next_stage = visual + gated  # Eq. (5)
        if self.vglva is not None:
            refined = self.vglva(visual, self._at_scale(text), text_mask)
            text = text + refined  # Eq. (9)
        return FusionOutput(to_decoder, to_next_stage, text)

    def word_attention(
        self, visual: Tensor, text: Tensor, text_mask: Tensor
    ) -> WordAttention:
        to_words = to_pixels = None
        if self.lgvla is not None:
            to_words = self.lgvla.similarity(visual, text, text_mask).mean(dim=1)
        if self.vglva is not None:
            to_pixels = self.vglva.similarity(visual, self._at_scale(text)).mean(dim=1)
        return WordAttention(to_words, to_pixels)

    def _at_scale(self, text: Tensor) -> Tensor:
        """What VGLVA reads of L_i (B, N, C_t)."""
        if not self.steady_language:
            return text
        return F.layer_norm(text, (self.text_channels,))
