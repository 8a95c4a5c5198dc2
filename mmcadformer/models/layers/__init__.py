# SPDX-License-Identifier: Apache-2.0
"""Primitives: attention, gates, rotated convolution, positions."""

from .adaptive_rotated_conv import AdaptiveRotatedConv2d, rotation_matrix
from .attention import CrossModalAttention, attention_to_words, instance_norm
from .gate import LanguageGate, Projection
from .position import sine_position_embedding
from .transformer import BatchFirstAttention, SelfAttentionLayer, TextDecoderLayer
from .window_attention import FusedShiftWindowMSA, FusedWindowMSA, fuse_window_attention

__all__ = [
    'AdaptiveRotatedConv2d',
    'BatchFirstAttention',
    'CrossModalAttention',
    'FusedShiftWindowMSA',
    'FusedWindowMSA',
    'LanguageGate',
    'Projection',
    'SelfAttentionLayer',
    'TextDecoderLayer',
    'attention_to_words',
    'fuse_window_attention',
    'instance_norm',
    'rotation_matrix',
    'sine_position_embedding',
]
