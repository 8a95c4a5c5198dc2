# SPDX-License-Identifier: Apache-2.0
"""Encoders of the referring expression."""

from .bert import BertTextEncoder
from .phrase_bert import PhraseBertTextEncoder

__all__ = ['BertTextEncoder', 'PhraseBertTextEncoder']
