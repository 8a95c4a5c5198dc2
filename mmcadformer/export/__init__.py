# SPDX-License-Identifier: Apache-2.0
"""A trained model as one file that runs without this package."""

from .exportable import ExportableSegmentor
from .exporting import Parity, check_parity, export_model, portable_tokenizer
from .quantization import Quantization, draw_samples

__all__ = [
    'ExportableSegmentor',
    'Parity',
    'Quantization',
    'check_parity',
    'draw_samples',
    'export_model',
    'portable_tokenizer',
]
