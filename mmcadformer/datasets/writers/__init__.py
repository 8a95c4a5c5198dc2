# SPDX-License-Identifier: Apache-2.0
"""Writing of data sets in the layouts that can be read."""

from .images import IMAGE_MODES
from .json_lines import write_json_lines
from .refcoco import write_refcoco
from .refsegrs import write_refsegrs

__all__ = ['IMAGE_MODES', 'write_json_lines', 'write_refcoco', 'write_refsegrs']
