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
from .quality import RULES, Rule, read_rules
from .review_page import write_review
from .reviews import Decision, Outcome, Review, compare_reviews, read_review, settle
from .sam import SamBoxSegmenter
from .splits import format_table
from .workspace import Workspace, make_workspace

__all__ = [
    'RULES',
    'Decision',
    'Outcome',
    'Review',
    'Rule',
    'SamBoxSegmenter',
    'Workspace',
    'build_dataset',
    'compare_reviews',
    'export_for_correction',
    'format_table',
    'make_workspace',
    'read_corrections',
    'read_review',
    'read_rules',
    'settle',
    'write_review',
]
