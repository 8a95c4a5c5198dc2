# SPDX-License-Identifier: Apache-2.0
"""Encoders of the referring expression."""

from .bert import BertTextEncoder
from .expression_tokens import ExpressionTokens
from .phrase_bert import PhraseBertTextEncoder
from .transformers_encoder import TransformersTextEncoder

__all__ = [
    'BertTextEncoder',
    'ExpressionTokens',
    'PhraseBertTextEncoder',
    'TransformersTextEncoder',
]
