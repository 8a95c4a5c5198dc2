# SPDX-License-Identifier: Apache-2.0
"""Weights of the released repositories in the form of this package."""

from .convert import Report, build_empty_model, convert, read_released
from .rules import METHODS, Rules, read_rules

__all__ = [
    'METHODS',
    'Report',
    'Rules',
    'build_empty_model',
    'convert',
    'read_released',
    'read_rules',
]
