# SPDX-License-Identifier: Apache-2.0
"""Whole data sets: opened with all splits, checked, counted."""

from .checking import CheckReport, check_dataset
from .counting import collect_statistics, format_statistics, plot_statistics
from .sources import open_layout, read_whole

__all__ = [
    'CheckReport',
    'check_dataset',
    'collect_statistics',
    'format_statistics',
    'open_layout',
    'plot_statistics',
    'read_whole',
]
