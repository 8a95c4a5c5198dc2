# SPDX-License-Identifier: Apache-2.0
"""Evaluation of referring segmentation."""

from .referring_iou import ReferringIoUMetric

__all__ = ['ReferringIoUMetric']
