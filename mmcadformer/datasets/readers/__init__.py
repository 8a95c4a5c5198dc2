# SPDX-License-Identifier: Apache-2.0
"""The layouts that referring data come in."""

from .base import LayoutReader
from .json_lines import JsonLinesReader
from .refcoco import RefCOCOReader
from .refsegrs import RefSegRSReader

__all__ = ['JsonLinesReader', 'LayoutReader', 'RefCOCOReader', 'RefSegRSReader']
