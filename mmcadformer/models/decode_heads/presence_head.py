# SPDX-License-Identifier: Apache-2.0
"""Whether what a sentence means is in the image at all."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PresenceHead(BaseModule):
    """Decides from a decoder's map and the refined text whether there is a target.

    Each pixel is compared with the sentence; where it fits best, the features are
    gathered, and a small network decides on them, on the largest of the whole map and
    on the sentence. One object that fits is enough, however small.

    ``threshold`` is a buffer: from which score on there is a target. It is chosen on
    validation data (``PresenceThresholdHook``) and stored with the weights.

    Args:
        in_channels: Of the decoder's map. Given by the decode head.
        text_channels: C_t. Given by the decode head.
        channels: Width of the comparison.
        loss_weight: Of the loss beside that of the masks.
        positive_weight: Weight of samples with a target; below 1 where they are most.
    """

    def __init__(
        self,
        in_channels: int,
        text_channels: int,
        channels: int = 64,
        loss_weight: float = 0.5,
        positive_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.visual = nn.Conv2d(in_channels, channels, 1)
        self.text = nn.Linear(text_channels, channels)
        self.fit = nn.Conv2d(channels, 1, 1)
        self.decide = nn.Sequential(
            nn.Linear(3 * channels, channels),
            nn.ReLU(inplace=True),
            nn.Linear(channels, 1),
        )
        self.threshold: Tensor
        self.positive_weight: Tensor
        self.register_buffer('threshold', torch.tensor(0.5))
        weight = torch.tensor(positive_weight)
        self.register_buffer('positive_weight', weight, persistent=False)

    def forward(
        self, features: Tensor, text: Tensor, text_mask: Tensor | None = None
    ) -> Tensor:
        """Logits (B,) of there being a target.

        Args:
            features: The decoder's finest map (B, C, H, W).
            text: Language features (B, N, C_t), refined if the method does so.
            text_mask: Bool (B, N), True on real tokens.
        """
        words = self.text(_mean_of_words(text, text_mask))  # (B, C)
        pixels = F.relu(self.visual(features) + words[:, :, None, None])
        weights = self.fit(pixels).flatten(2).softmax(dim=2)  # (B, 1, H*W)
        pixels = pixels.flatten(2)
        gathered = (pixels * weights).sum(dim=2)
        found = torch.cat([gathered, pixels.amax(dim=2), words], dim=1)
        return self.decide(found).squeeze(1)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross entropy of logits (B,) and labels (B, 1, H, W), 1 on targets."""
        present = (labels == 1).flatten(1).any(dim=1).to(logits.dtype)
        value = F.binary_cross_entropy_with_logits(
            logits, present, pos_weight=self.positive_weight.to(logits.dtype)
        )
        return self.loss_weight * value


def _mean_of_words(text: Tensor, mask: Tensor | None) -> Tensor:
    """Mean (B, C_t) over real tokens."""
    if mask is None:
        return text.mean(dim=1)
    weights = mask.to(text.dtype).unsqueeze(2)
    return (text * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
