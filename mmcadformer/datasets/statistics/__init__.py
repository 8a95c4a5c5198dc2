# SPDX-License-Identifier: Apache-2.0
"""What is in a data set: the numbers of the paper's Sec. III-B and Table I."""

from .collect import collect_statistics
from .plots import plot_statistics
from .tables import format_statistics

__all__ = ['collect_statistics', 'format_statistics', 'plot_statistics']
