# SPDX-License-Identifier: Apache-2.0
"""Evaluation of referring segmentation."""

from .referring_iou import THRESHOLDS, ReferringIoUMetric, summarize

__all__ = ['THRESHOLDS', 'ReferringIoUMetric', 'summarize']
