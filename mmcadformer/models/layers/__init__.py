# SPDX-License-Identifier: Apache-2.0
"""Primitives: attention, gates, rotated convolution, positions."""

from .adaptive_rotated_conv import AdaptiveRotatedConv2d, rotation_matrix
from .attention import CrossModalAttention, attention_to_words, instance_norm
from .dropout import Dropout, drop_rate, keep_mask
from .gate import LanguageGate, Projection
from .position import sine_position_embedding
from .tiled_attention import attend
from .transformer import BatchFirstAttention, SelfAttentionLayer, TextDecoderLayer
from .window_attention import FusedShiftWindowMSA, FusedWindowMSA, fuse_window_attention

__all__ = [
    'AdaptiveRotatedConv2d',
    'BatchFirstAttention',
    'CrossModalAttention',
    'Dropout',
    'FusedShiftWindowMSA',
    'FusedWindowMSA',
    'LanguageGate',
    'Projection',
    'SelfAttentionLayer',
    'TextDecoderLayer',
    'attend',
    'attention_to_words',
    'drop_rate',
    'fuse_window_attention',
    'instance_norm',
    'keep_mask',
    'rotation_matrix',
    'sine_position_embedding',
]
