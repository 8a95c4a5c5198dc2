# SPDX-License-Identifier: Apache-2.0
"""Where boxes and sentences come from."""

from .json_lines import load_json_lines_boxes
from .refcoco import load_refcoco_boxes
from .voc_xml import load_voc_boxes

__all__ = ['load_json_lines_boxes', 'load_refcoco_boxes', 'load_voc_boxes']
