# SPDX-License-Identifier: Apache-2.0
"""What a model costs: parameters, operations, time; whether a backbone is fit."""

from .backbone_check import Finding, check_backbone
from .cost import (
    CONVENTION,
    analyse,
    build_tree,
    build_without_weights,
    count_flops,
    explain,
    random_inputs,
    without_weights,
)
from .latency import Latency, by_turns, compare_latency, measure, medians, timed

__all__ = [
    'CONVENTION',
    'Finding',
    'Latency',
    'analyse',
    'build_tree',
    'build_without_weights',
    'by_turns',
    'check_backbone',
    'compare_latency',
    'count_flops',
    'explain',
    'measure',
    'medians',
    'random_inputs',
    'timed',
    'without_weights',
]
