"""Shared building blocks: attention, gates, SMGAM, rotated convolution."""

from .adaptive_rotated_conv import AdaptiveRotatedConv2d, rotation_matrix
from .attention import CrossModalAttention, instance_norm
from .fusion import FusionOutput, StageFusion
from .gate import LanguageGate, Projection
from .smgam import LGVLA, SMGAM, VGLVA
from .window_attention import FusedShiftWindowMSA, FusedWindowMSA, fuse_window_attention

__all__ = [
    'LGVLA',
    'SMGAM',
    'VGLVA',
    'AdaptiveRotatedConv2d',
    'CrossModalAttention',
    'FusedShiftWindowMSA',
    'FusedWindowMSA',
    'FusionOutput',
    'LanguageGate',
    'Projection',
    'StageFusion',
    'fuse_window_attention',
    'instance_norm',
    'rotation_matrix',
]
