# SPDX-License-Identifier: Apache-2.0
"""Builds referring segmentation data from boxes and sentences (paper Sec. III).

Boxes become masks by SAM (:func:`make_workspace`), people review what looks
suspicious (:func:`write_review`), correct it in an annotation tool
(:func:`export_for_correction`, :func:`read_corrections`), and what is accepted
becomes a dataset (:func:`build_dataset`).

Not imported with the package: it needs SAM, and nothing else needs it.
"""

from ..utils.outlines import trace_outlines
from .build import build_dataset
from .consensus import agreement, find_consensus
from .correction import export_for_correction, read_corrections
from .outcome import compare_reviews, settle
from .quality import MaskMeasures, measure_mask
from .review import write_review
from .review_state import Decision, Review, read_review
from .rules import RULES, Rule, Suspicion, rate, read_rules
from .sam import SamBoxSegmenter
from .splits import stratified_split
from .summary import count_table, format_table
from .workspace import Workspace, make_workspace

__all__ = [
    'RULES',
    'Decision',
    'MaskMeasures',
    'Review',
    'Rule',
    'SamBoxSegmenter',
    'Suspicion',
    'Workspace',
    'agreement',
    'build_dataset',
    'compare_reviews',
    'count_table',
    'export_for_correction',
    'find_consensus',
    'format_table',
    'make_workspace',
    'measure_mask',
    'rate',
    'read_corrections',
    'read_review',
    'read_rules',
    'settle',
    'stratified_split',
    'trace_outlines',
    'write_review',
]
