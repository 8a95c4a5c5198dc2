# SPDX-License-Identifier: Apache-2.0
"""Evaluation of referring segmentation."""

from .protocols import (
    EXACT,
    PROTOCOLS,
    RELEASED,
    THRESHOLDS,
    Protocol,
    find_protocol,
    summarize,
)
from .referring_iou import ReferringIoUMetric

__all__ = [
    'EXACT',
    'PROTOCOLS',
    'RELEASED',
    'THRESHOLDS',
    'Protocol',
    'ReferringIoUMetric',
    'find_protocol',
    'summarize',
]
