# SPDX-License-Identifier: Apache-2.0
"""Losses that MMSegmentation lacks."""

from .summed_dice_loss import SummedDiceLoss

__all__ = ['SummedDiceLoss']
