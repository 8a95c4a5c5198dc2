# SPDX-License-Identifier: Apache-2.0
"""SMGAM as CADFormer's released code has it, defects included.

It differs from the paper's equations (:mod:`.smgam`) in almost every step. It is here
so that anybody can see what the differences do, and for weights trained with it.
"""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers.attention import instance_norm
from ..layers.gate import LanguageGate, Projection
from .base import HW, FusionOutput
from .pwam import PWAM


class ReleasedTextAttention(BaseModule):
    """Words attend to pixels, with BERT's additive mask used as a multiplier.

    The mask (0 on real tokens, -10000 on padding) multiplies the query. So every
    real token has a zero query and attends to all pixels alike, while padding looks
    up nearly single pixels. The same mask enters the logits again, where it is
    constant along each row. The last instance norm runs over tokens, padding
    included. Float16 can't hold the masked query, so this runs without autocast.
    """

    def __init__(self, text_channels: int, visual_channels: int) -> None:
        super().__init__()
        self.scale = text_channels**-0.5
        self.query = nn.Linear(text_channels, text_channels)
        self.key = nn.Linear(visual_channels, text_channels)
        self.value = nn.Linear(visual_channels, text_channels)
        self.out = nn.Linear(text_channels, text_channels)

    def forward(self, text: Tensor, visual: Tensor, text_mask: Tensor) -> Tensor:
        """Attend from words (B, N, C_t) to pixels (B, H*W, C_i), giving (B, N, C_t)."""
        with torch.autocast(text.device.type, enabled=False):
            dtype = self.query.weight.dtype
            text, visual = text.to(dtype), visual.to(dtype)
            additive = (1 - text_mask.to(dtype)).unsqueeze(-1) * -10000.0
            query = self.query(text) * additive
            key = instance_norm(self.key(visual))
            value = instance_norm(self.value(visual))
            logits = self.scale * (query @ key.transpose(1, 2))
            weights = (logits + (1e4 * additive - 1e4)).softmax(dim=-1)
            return instance_norm(self.out(weights @ value))


class ReleasedVGLVA(BaseModule):
    """The released form of VGLVA: C_t wide, without a mask on its result."""

    def __init__(self, visual_channels: int, text_channels: int) -> None:
        super().__init__()
        self.text_proj = Projection(text_channels, text_channels)
        self.attention = ReleasedTextAttention(text_channels, visual_channels)
        self.out_proj = Projection(text_channels, text_channels)
        self.gate = LanguageGate(text_channels)

    def forward(self, visual: Tensor, text: Tensor, text_mask: Tensor) -> Tensor:
        """Refine the language features by the input of the stage, giving L_i'."""
        aligned = self.attention(text, visual, text_mask) * self.text_proj(text)
        return self.gate(self.out_proj(aligned))


@MODELS.register_module()
class ReleasedSMGAM(PWAM):
    """CADFormer's released fusion: LAVT's PWAM, and VGLVA on the stage's input.

    Against :class:`SMGAM`: the visual query starts from V_i and not from its
    projection, the decoder reads the feature before the gate (which the last stage
    therefore lacks), and VGLVA (:class:`ReleasedVGLVA`) reads what entered the stage.
    """

    needs_stage_input = True

    def __init__(
        self,
        visual_channels: int,
        text_channels: int,
        text_used_later: bool = True,
        visual_used_later: bool = True,
    ) -> None:
        super().__init__(
            visual_channels, text_channels, visual_used_later=visual_used_later
        )
        self.vglva = None
        if text_used_later:
            self.vglva = ReleasedVGLVA(visual_channels, text_channels)

    def forward(  # type: ignore[override]  # one argument more: needs_stage_input
        self,
        visual: Tensor,
        hw_shape: HW,
        text: Tensor,
        text_mask: Tensor,
        stage_input: Tensor,
    ) -> FusionOutput:
        fused = super().forward(visual, hw_shape, text, text_mask)
        if self.vglva is None:
            return fused
        text = text + self.vglva(stage_input, text, text_mask)
        return fused._replace(text=text)
