# SPDX-License-Identifier: Apache-2.0
"""Whole models."""

from .referring_segmentor import ReferringSegmentor

__all__ = ['ReferringSegmentor']
