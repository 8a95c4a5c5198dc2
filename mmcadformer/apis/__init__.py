# SPDX-License-Identifier: Apache-2.0
"""What programs that use a trained model need."""

from .checkpoint import load_checkpoint, read_checkpoint
from .inferencer import ReferringInferencer, ReferringResult, init_model, pair_inputs

__all__ = [
    'ReferringInferencer',
    'ReferringResult',
    'SceneSegmentor',
    'init_model',
    'load_checkpoint',
    'pair_inputs',
    'read_checkpoint',
]


def __getattr__(name: str):
    """Imports what needs the geo extra when it is asked for."""
    if name == 'SceneSegmentor':
        from .scene import SceneSegmentor

        return SceneSegmentor
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
