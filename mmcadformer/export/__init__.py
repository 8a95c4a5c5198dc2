# SPDX-License-Identifier: Apache-2.0
"""A trained model as one file that runs without this package."""

from .exportable import ExportableSegmentor
from .exporting import export_model, portable_tokenizer
from .parity import Parity, check_parity

__all__ = [
    'ExportableSegmentor',
    'Parity',
    'check_parity',
    'export_model',
    'portable_tokenizer',
]
