# SPDX-License-Identifier: Apache-2.0
"""What a model costs: parameters, operations, time."""

from .building import build_without_weights, random_inputs, without_weights
from .cost import analyse, parameter_summary, sum_parts
from .flops import CONVENTION, count_flops
from .latency import Latency, compare_latency, measure, timed
from .module_tree import Node, build_tree, explain

__all__ = [
    'CONVENTION',
    'Latency',
    'Node',
    'analyse',
    'build_tree',
    'build_without_weights',
    'compare_latency',
    'count_flops',
    'explain',
    'measure',
    'parameter_summary',
    'random_inputs',
    'sum_parts',
    'timed',
    'without_weights',
]
