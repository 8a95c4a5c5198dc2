# SPDX-License-Identifier: Apache-2.0
"""Fusions of vision and language after each stage of a backbone, one per method."""

from .base import FusionOutput, StageFusion, WordAttention
from .fiam import FIAM
from .pwam import PWAM
from .released_smgam import ReleasedSMGAM
from .rmsin import RMSINFusion
from .smgam import LGVLA, SMGAM, VGLVA

__all__ = [
    'FIAM',
    'LGVLA',
    'PWAM',
    'SMGAM',
    'VGLVA',
    'FusionOutput',
    'RMSINFusion',
    'ReleasedSMGAM',
    'StageFusion',
    'WordAttention',
]
