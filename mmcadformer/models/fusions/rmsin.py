# SPDX-License-Identifier: Apache-2.0
"""RMSIN's fusion: pixel-word attention and a branch of several receptive fields."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers.gate import LanguageGate
from .base import HW, FusionOutput
from .pwam import PWAM


def _conv_bn(kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(1))


class ReceptiveStep(BaseModule):
    """``BN(conv1x1(u)) + BN(conv3x3(BN(conv1x1(u)))) + BN(u)`` with one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.point = _conv_bn(1)
        self.area = nn.Sequential(_conv_bn(1), _conv_bn(3))
        self.identity = nn.BatchNorm2d(1)

    def forward(self, u: Tensor) -> Tensor:
        """Apply to a map (B, 1, H, W), giving (B, 1, H, W)."""
        return self.point(u) + self.area(u) + self.identity(u)


class VariousReceptiveBranch(BaseModule):
    """Weighs each position by what lies around it, RMSIN's intra-scale interaction.

    Two :class:`ReceptiveStep`, the first with a ReLU, on the channel mean; their
    sigmoid weighs the features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step1 = ReceptiveStep()
        self.step2 = ReceptiveStep()

    def forward(self, visual: Tensor, hw_shape: HW) -> Tensor:
        """Weigh the features X (B, H*W, C_i) of a stage, giving the same shape."""
        mean = visual.mean(dim=2).unflatten(1, tuple(hw_shape)).unsqueeze(1)
        weight = self.step2(F.relu(self.step1(mean))).sigmoid()
        return weight.flatten(2).transpose(1, 2) * visual


@MODELS.register_module()
class RMSINFusion(PWAM):
    """RMSIN's fusion: ``X + gate_L(F) + gate_V(R)`` goes on, F goes to the decoder.

    F is LAVT's pixel-word alignment, R the receptive branch. The last stage keeps
    only F, since nothing reads the rest.
    """

    def __init__(
        self,
        visual_channels: int,
        text_channels: int,
        num_heads: int = 1,
        text_used_later: bool = True,
        visual_used_later: bool = True,
    ) -> None:
        args = (visual_channels, text_channels, num_heads)
        super().__init__(*args, visual_used_later=visual_used_later)
        if visual_used_later:
            self.receptive = VariousReceptiveBranch()
            self.visual_gate = LanguageGate(visual_channels)

    def forward(
        self, visual: Tensor, hw_shape: HW, text: Tensor, text_mask: Tensor
    ) -> FusionOutput:
        fused = super().forward(visual, hw_shape, text, text_mask)
        if self.gate is None:
            return fused
        weighed = self.visual_gate(self.receptive(visual, hw_shape))
        return fused._replace(to_next_stage=fused.to_next_stage + weighed)
