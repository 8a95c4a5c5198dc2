# SPDX-License-Identifier: Apache-2.0
"""Weights of the released repositories in the form of this package."""

from .convert import Report, convert, read_released
from .layouts import LAYOUTS, Setting

__all__ = ['LAYOUTS', 'Report', 'Setting', 'convert', 'read_released']
