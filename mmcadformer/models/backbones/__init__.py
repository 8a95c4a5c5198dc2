# SPDX-License-Identifier: Apache-2.0
"""Staged vision backbones with vision-language fusion between the stages."""

from .cadformer_swin import CADFormerSwin
from .referring_swin import FirstStage, ReferringSwin

__all__ = ['CADFormerSwin', 'FirstStage', 'ReferringSwin']
