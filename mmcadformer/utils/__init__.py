# SPDX-License-Identifier: Apache-2.0
"""Helpers that import neither PyTorch nor the OpenMMLab packages."""

from .machine import device_name
from .stack import check_opencv, check_stack, find_problems, installed_versions

__all__ = [
    'check_opencv',
    'check_stack',
    'device_name',
    'find_problems',
    'installed_versions',
]
