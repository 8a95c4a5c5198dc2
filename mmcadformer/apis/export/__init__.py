# SPDX-License-Identifier: Apache-2.0
"""A trained model as one file that runs without this package."""

from .check import Parity, check_parity
from .companions import describe_model, portable_tokenizer
from .exportable import ExportableSegmentor
from .exporting import export_model

__all__ = [
    'ExportableSegmentor',
    'Parity',
    'check_parity',
    'describe_model',
    'export_model',
    'portable_tokenizer',
]
