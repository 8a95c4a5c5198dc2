# SPDX-License-Identifier: Apache-2.0
"""What programs that use a trained model need."""

from .checkpoint import load_checkpoint, read_checkpoint
from .inferencer import ReferringInferencer, ReferringResult, init_model, pair_inputs

__all__ = [
    'ReferringInferencer',
    'ReferringResult',
    'init_model',
    'load_checkpoint',
    'pair_inputs',
    'read_checkpoint',
]
