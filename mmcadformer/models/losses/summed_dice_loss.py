# SPDX-License-Identifier: Apache-2.0
"""The Dice loss of RMSIN, FIANet and CADFormer's released code."""

from __future__ import annotations

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SummedDiceLoss(nn.Module):
    """Dice per sample and class, summed over both.

    ``1 - (2 sum(p y) + eps) / (sum(p) + sum(y) + eps)`` over the pixels, with softmax
    probabilities p. The sum makes the term grow with the batch on each device: at
    batch 2 and two classes it is four times the mean.

    Args:
        loss_name: Name in the log; must start with ``loss_``.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        eps: float = 1e-6,
        loss_name: str = 'loss_dice',
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.eps = eps
        self.loss_name = loss_name

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        **kwargs: object,
    ) -> Tensor:
        """The loss, a scalar, of logits (B, num_classes, H, W) and labels (B, H, W).

        ``weight`` and ``kwargs`` belong to MMSegmentation's interface, unused.
        """
        valid = (target != ignore_index).unsqueeze(1)
        classes = torch.arange(pred.shape[1], device=pred.device).view(1, -1, 1, 1)
        truth = (target.unsqueeze(1) == classes).float()
        # Sums over 480x480 pixels need float32, whatever the autocast type.
        probability = pred.float().softmax(dim=1) * valid
        overlap = (probability * truth).flatten(2).sum(dim=2)
        total = (probability + truth).flatten(2).sum(dim=2)
        dice = (2 * overlap + self.eps) / (total + self.eps)
        return self.loss_weight * (1 - dice).sum()
