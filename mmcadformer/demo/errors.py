# SPDX-License-Identifier: Apache-2.0
"""Errors in words for the visitor; never a traceback, never silence."""

from __future__ import annotations

import logging

import torch

_LOG = logging.getLogger(__name__)


def explain_error(error: Exception) -> str:
    """What to tell the visitor; what nobody expects goes to the server's log."""
    if isinstance(error, (FileNotFoundError, ValueError)):
        return str(error)
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return 'There is not enough memory for this picture: take a smaller one'
    _LOG.error('the page failed', exc_info=error)
    return (
        f'Something went wrong on the server ({type(error).__name__}); its log says '
        'more'
    )
