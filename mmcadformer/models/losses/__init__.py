# SPDX-License-Identifier: Apache-2.0
"""Losses that MMSegmentation lacks."""

from .masked_dice_loss import MaskedDiceLoss
from .summed_dice_loss import SummedDiceLoss

__all__ = ['MaskedDiceLoss', 'SummedDiceLoss']
