# SPDX-License-Identifier: Apache-2.0
"""Builds referring segmentation data from boxes and sentences (paper Sec. III).

Boxes become masks by SAM (:func:`make_workspace`), people review what looks
suspicious (:func:`write_review`), correct it in an annotation tool
(:func:`export_for_correction`, :func:`read_corrections`), and what is accepted
becomes a dataset (:func:`build_dataset`).

Not imported with the package: it needs SAM, and nothing else needs it.
"""

from .build import build_dataset
from .correction import export_for_correction, read_corrections
from .outcome import compare_reviews, settle
from .quality import (
    RULES,
    MaskMeasures,
    Rule,
    Suspicion,
    measure_mask,
    rate,
    read_rules,
)
from .review_page import write_review
from .reviews import Decision, Review, agreement, find_consensus, read_review
from .sam import SamBoxSegmenter
from .splits import count_table, format_table, stratified_split
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
    'write_review',
]
