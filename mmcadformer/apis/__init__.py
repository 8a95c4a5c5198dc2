# SPDX-License-Identifier: Apache-2.0
"""What programs that use a trained model need."""

from ..utils.checkpoint import read_checkpoint
from .checkpoint import load_checkpoint
from .inferencer import ReferringInferencer, init_model, pair_inputs
from .result import ReferringResult

__all__ = [
    'ReferringInferencer',
    'ReferringResult',
    'init_model',
    'load_checkpoint',
    'pair_inputs',
    'read_checkpoint',
]
