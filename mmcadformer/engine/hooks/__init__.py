# SPDX-License-Identifier: Apache-2.0
"""Hooks of training and testing."""

from .epoch_seed_hook import EpochSeedHook, SeededDataset
from .truncation_hook import TruncationReportHook
from .visualization_hook import ReferringVisualizationHook

__all__ = [
    'EpochSeedHook',
    'ReferringVisualizationHook',
    'SeededDataset',
    'TruncationReportHook',
]
