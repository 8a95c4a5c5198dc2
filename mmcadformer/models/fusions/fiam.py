# SPDX-License-Identifier: Apache-2.0
"""FIANet's fusion: the whole expression, its object words and its position words."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers.attention import CrossModalAttention, attention_to_words
from ..layers.gate import LanguageGate
from .base import HW, FusionOutput
from .pwam import PWAM


class ObjectPositionBlock(BaseModule):
    """Object features, kept where the position words point."""

    def __init__(
        self, visual_channels: int, text_channels: int, num_heads: int
    ) -> None:
        super().__init__()
        args = (visual_channels, text_channels, num_heads)
        self.object_attention = attention_to_words(*args)
        self.object_gate = LanguageGate(visual_channels)
        self.position_attention = attention_to_words(*args)
        self.position_conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(
        self,
        visual: Tensor,
        hw_shape: HW,
        text: tuple[Tensor, Tensor],
        text_mask: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Find the object's features (B, H*W, C_i) at its position.

        The text is T_o and T_p, both (B, N, C_t), with masks m_o and m_p. An
        expression without object words gives zeros; one without position words
        weighs all pixels by one half.
        """
        (object_text, position_text), (object_mask, position_mask) = text, text_mask
        found = _attend(self.object_attention, visual, object_text, object_mask)
        features = self.object_gate(found)
        position = _attend(
            self.position_attention, visual, position_text, position_mask
        )
        summary = torch.stack([position.mean(dim=2), position.amax(dim=2)], dim=1)
        weight = self.position_conv(summary.unflatten(2, tuple(hw_shape))).sigmoid()
        return features * weight.flatten(2).transpose(1, 2)


def _attend(
    attention: CrossModalAttention, visual: Tensor, text: Tensor, mask: Tensor
) -> Tensor:
    """Attention of pixels (B, H*W, C_i) to words; zeros where there are none.

    Attention to nothing is undefined (PyTorch before 2.5 may give NaN): attend to
    something and drop the result.
    """
    has_words = mask.any(dim=1, keepdim=True)
    attended = attention(visual, text, context_mask=mask | ~has_words)
    return attended * has_words.unsqueeze(-1)


@MODELS.register_module()
class FIAM(PWAM):
    """FIANet's fine-grained image-text alignment.

    ``X + c * (gate(F) + b)`` goes on, with LAVT's alignment F to the whole
    expression, the object-position block b, and a channel modulation c of X; F goes
    to the decoder. The last stage keeps only F, since nothing reads the rest.

    The text holds three features per token, ``(B, 3, N, C_t)`` with masks
    ``(B, 3, N)``: whole expression, object words, position words, as
    :class:`~mmcadformer.models.text_encoders.PhraseBertTextEncoder` gives them.

    Args:
        reduction: Of the channels in the modulation.
    """

    def __init__(
        self,
        visual_channels: int,
        text_channels: int,
        num_heads: int = 1,
        reduction: int = 8,
        text_used_later: bool = True,
        visual_used_later: bool = True,
    ) -> None:
        args = (visual_channels, text_channels, num_heads)
        super().__init__(*args, visual_used_later=visual_used_later)
        if visual_used_later:
            hidden = max(1, visual_channels // reduction)
            self.object_position = ObjectPositionBlock(*args)
            self.modulation = nn.Sequential(
                nn.Linear(visual_channels, hidden),
                nn.ReLU(),
                nn.Linear(hidden, visual_channels),
                nn.Sigmoid(),
            )

    def forward(
        self, visual: Tensor, hw_shape: HW, text: Tensor, text_mask: Tensor
    ) -> FusionOutput:
        if text_mask.dim() != 3:
            raise ValueError(
                f'FIAM needs text masks (B, 3, N), not {tuple(text_mask.shape)}: set '
                "text_encoder.type='PhraseBertTextEncoder'"
            )
        whole, *phrases = text.unbind(dim=1)
        whole_mask, *phrase_masks = text_mask.bool().unbind(dim=1)
        aligned = self.align(visual, whole, whole_mask)
        if self.gate is None:
            return FusionOutput(aligned, visual, text)
        fine = self.object_position(visual, hw_shape, phrases, phrase_masks)
        channels = self.modulation(visual.mean(dim=1, keepdim=True))
        onward = visual + channels * (self.gate(aligned) + fine)
        return FusionOutput(aligned, onward, text)
