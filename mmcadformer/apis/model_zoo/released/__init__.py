# SPDX-License-Identifier: Apache-2.0
"""Weights of the released repositories in the form of this package."""

from .convert import Report, convert
from .layouts import LAYOUTS, Setting
from .read import read_released

__all__ = ['LAYOUTS', 'Report', 'Setting', 'convert', 'read_released']
