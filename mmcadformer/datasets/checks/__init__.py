# SPDX-License-Identifier: Apache-2.0
"""Validation of whole data sets."""

from .check import check_dataset
from .report import CheckReport

__all__ = ['CheckReport', 'check_dataset']
