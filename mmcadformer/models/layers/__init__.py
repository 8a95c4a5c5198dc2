# SPDX-License-Identifier: Apache-2.0
"""Shared building blocks: attention, gates, fusions, rotated convolution."""

from .adaptive_rotated_conv import AdaptiveRotatedConv2d, rotation_matrix
from .attention import CrossModalAttention, instance_norm
from .fiam import FIAM
from .fusion import FusionOutput, StageFusion
from .gate import LanguageGate, Projection
from .pwam import PWAM, word_attention
from .receptive import RMSINFusion
from .released_smgam import ReleasedSMGAM
from .smgam import LGVLA, SMGAM, VGLVA
from .window_attention import FusedShiftWindowMSA, FusedWindowMSA, fuse_window_attention

__all__ = [
    'FIAM',
    'LGVLA',
    'PWAM',
    'SMGAM',
    'VGLVA',
    'AdaptiveRotatedConv2d',
    'CrossModalAttention',
    'FusedShiftWindowMSA',
    'FusedWindowMSA',
    'FusionOutput',
    'LanguageGate',
    'Projection',
    'RMSINFusion',
    'ReleasedSMGAM',
    'StageFusion',
    'fuse_window_attention',
    'instance_norm',
    'rotation_matrix',
    'word_attention',
]
