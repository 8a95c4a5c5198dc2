# SPDX-License-Identifier: Apache-2.0
"""MMSegmentation's cross entropy with shapes that don't depend on the labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.losses.utils import weight_reduce_loss
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class MaskedCrossEntropyLoss(CrossEntropyLoss):
    """Softmax cross entropy as MMSegmentation's ``CrossEntropyLoss``, same values.

    The host's picks the pixels that count out of the labels, or counts them, which
    makes the program wait for the GPU in every step. Here they are told by a weight of
    zero or one.

    Args:
        **kwargs: As the host's, but for ``use_sigmoid`` and ``use_mask``.
    """

    _class_weights: Tensor | None

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if self.use_sigmoid or self.use_mask:
            raise ValueError(
                'MaskedCrossEntropyLoss is a softmax loss: use CrossEntropyLoss for '
                'use_sigmoid or use_mask'
            )
        weights = self.class_weight
        # No parameter of the checkpoint, but it moves with the model.
        self.register_buffer(
            '_class_weights',
            None if weights is None else torch.tensor(weights),
            persistent=False,
        )

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
        **kwargs: object,
    ) -> Tensor:
        """The loss of logits (B, C, H, W) and labels (B, H, W).

        Args:
            pred: Logits.
            target: Labels, int64.
            weight: One for each pixel, (B, H, W).
            avg_factor: What the sum is divided by, in place of the pixels that count.
            reduction_override: 'none', 'mean' or 'sum' in place of the config's.
            ignore_index: Label to be ignored.
            **kwargs: Unused, of the host's interface.

        Returns:
            A scalar, or (B, H, W) without reduction.
        """
        reduction = reduction_override or self.reduction
        weights = self._class_weights
        if weights is not None:
            weights = weights.to(pred.dtype)
        loss = F.cross_entropy(
            pred, target, weight=weights, reduction='none', ignore_index=ignore_index
        )
        if avg_factor is None and reduction == 'mean':
            avg_factor = self._total(target, weights, ignore_index)
        if weight is not None:
            weight = weight.float()
        return self.loss_weight * weight_reduce_loss(
            loss, weight=weight, reduction=reduction, avg_factor=avg_factor
        )

    def _total(
        self, target: Tensor, weights: Tensor | None, ignore_index: int
    ) -> int | Tensor:
        """What the host divides by: pixels, or the weights of those that count."""
        if weights is None and not self.avg_non_ignore:
            return target.numel()
        valid = target != ignore_index
        if weights is None:
            return valid.sum()
        return (weights[target.clamp(0, len(weights) - 1)] * valid).sum()
