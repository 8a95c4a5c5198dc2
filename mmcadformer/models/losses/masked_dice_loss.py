# SPDX-License-Identifier: Apache-2.0
"""MMSegmentation's Dice loss without the pixels that are to be ignored."""

from __future__ import annotations

import torch
from mmseg.models.losses.dice_loss import DiceLoss, dice_loss
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class MaskedDiceLoss(DiceLoss):
    """Dice as MMSegmentation's ``DiceLoss``, of the pixels that count.

    The host's takes a pixel with the label to be ignored for one of no class, and so
    punishes what the network says of it. Without such pixels both are the same.

    Args:
        **kwargs: As the host's. Its ``ignore_index`` is a class that is left out, not
            the label to be ignored, which the decode head gives.
    """

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: int | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
        **kwargs: object,
    ) -> Tensor:
        """The loss of logits (B, C, H, W) and labels (B, H, W)."""
        valid = (target != ignore_index).unsqueeze(1)
        classes = torch.arange(pred.shape[1], device=pred.device).view(1, -1, 1, 1)
        truth = (target.unsqueeze(1) == classes) & valid
        if self.activate and self.use_sigmoid:
            pred = pred.sigmoid()
        elif self.activate and pred.shape[1] > 1:
            pred = pred.softmax(dim=1)
        return self.loss_weight * dice_loss(
            self._without_left_out(pred * valid),
            self._without_left_out(truth),
            weight,
            eps=self.eps,
            reduction=reduction_override or self.reduction,
            naive_dice=self.naive_dice,
            avg_factor=avg_factor,
            ignore_index=None,
        )

    def _without_left_out(self, x: Tensor) -> Tensor:
        """(B, C, H, W) without the class that is left out.

        The host picks classes by a mask, for whose sum the program waits.
        """
        left_out = self.ignore_index
        if left_out is None or not 0 <= left_out < x.shape[1]:
            return x
        return torch.cat([x[:, :left_out], x[:, left_out + 1 :]], dim=1)
