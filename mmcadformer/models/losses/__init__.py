# SPDX-License-Identifier: Apache-2.0
"""Losses that MMSegmentation lacks."""

from .masked_cross_entropy import MaskedCrossEntropyLoss
from .masked_dice_loss import MaskedDiceLoss
from .pixel_accuracy import pixel_accuracy
from .summed_dice_loss import SummedDiceLoss

__all__ = [
    'MaskedCrossEntropyLoss',
    'MaskedDiceLoss',
    'SummedDiceLoss',
    'pixel_accuracy',
]
