# SPDX-License-Identifier: Apache-2.0
"""Evaluation of referring segmentation."""

from .generalized import GeneralizedReferringMetric
from .presence import Decision, choose_threshold, decide
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
    'Decision',
    'GeneralizedReferringMetric',
    'PROTOCOLS',
    'RELEASED',
    'THRESHOLDS',
    'Protocol',
    'ReferringIoUMetric',
    'choose_threshold',
    'decide',
    'find_protocol',
    'summarize',
]
