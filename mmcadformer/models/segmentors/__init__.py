# SPDX-License-Identifier: Apache-2.0
"""Whole models."""

from .data_preprocessor import NonBlockingPreProcessor
from .host_inferencer import refuse_referring_models
from .referring_segmentor import ReferringSegmentor

refuse_referring_models()

__all__ = ['NonBlockingPreProcessor', 'ReferringSegmentor']
