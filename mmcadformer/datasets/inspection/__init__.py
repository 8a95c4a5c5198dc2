# SPDX-License-Identifier: Apache-2.0
"""Whole data sets: opened with all splits, checked, counted."""

from .check import check_dataset
from .report import CheckReport
from .statistics import collect_statistics
from .statistics_plots import plot_statistics
from .statistics_text import format_statistics
from .whole import open_layout, read_whole

__all__ = [
    'CheckReport',
    'check_dataset',
    'collect_statistics',
    'format_statistics',
    'open_layout',
    'plot_statistics',
    'read_whole',
]
