# SPDX-License-Identifier: Apache-2.0
"""Optimizer wrapper for bfloat16."""

from .bfloat16_optim_wrapper import BFloat16OptimWrapper

__all__ = ['BFloat16OptimWrapper']
