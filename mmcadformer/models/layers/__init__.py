# SPDX-License-Identifier: Apache-2.0
"""Primitives: attention, gates, rotated convolution, positions."""

from .adaptive_rotated_conv import AdaptiveRotatedConv2d, rotation_matrix
from .attention import CrossModalAttention, instance_norm
from .gate import LanguageGate, Projection
from .window_attention import FusedShiftWindowMSA, FusedWindowMSA, fuse_window_attention

__all__ = [
    'AdaptiveRotatedConv2d',
    'CrossModalAttention',
    'FusedShiftWindowMSA',
    'FusedWindowMSA',
    'LanguageGate',
    'Projection',
    'fuse_window_attention',
    'instance_norm',
    'rotation_matrix',
]
