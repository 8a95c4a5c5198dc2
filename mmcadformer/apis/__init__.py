# SPDX-License-Identifier: Apache-2.0
"""What programs that use a trained model need."""

from ..utils.checkpoint import read_checkpoint
from .inferencer import ReferringInferencer, pair_inputs, predict_expressions
from .loading import init_model, load_checkpoint
from .model_zoo import list_models
from .result import ReferringResult

__all__ = [
    'ReferringInferencer',
    'ReferringResult',
    'init_model',
    'list_models',
    'load_checkpoint',
    'pair_inputs',
    'predict_expressions',
    'read_checkpoint',
]
