"""Encoders of the referring expression."""

from .bert import BertTextEncoder

__all__ = ['BertTextEncoder']
