# SPDX-License-Identifier: Apache-2.0
"""The layouts that referring data come in, each with its reader and its writer."""

from .base import IMAGE_MODES, LayoutReader, check_inside
from .boxes import BadEntries, BoxItem, box_in_image, read_items, write_items
from .json_lines import load_json_lines_boxes, write_json_lines
from .refcoco import load_refcoco_boxes, write_refcoco
from .references import read_refs
from .refsegrs import write_refsegrs
from .voc_xml import SPLIT_UNITS, load_voc_boxes

__all__ = [
    'IMAGE_MODES',
    'SPLIT_UNITS',
    'BadEntries',
    'BoxItem',
    'LayoutReader',
    'box_in_image',
    'check_inside',
    'load_json_lines_boxes',
    'load_refcoco_boxes',
    'load_voc_boxes',
    'read_items',
    'read_refs',
    'write_items',
    'write_json_lines',
    'write_refcoco',
    'write_refsegrs',
]
