# SPDX-License-Identifier: Apache-2.0
"""Vision backbones with vision-language fusion between the stages."""

from .cadformer_swin import CADFormerSwin
from .host_recipes import FlatRecipe, HostRecipe
from .referring_backbone import ReferringBackbone
from .referring_swin import FirstStage, ReferringSwin
from .referring_vit import ReferringViT
from .timm_backbone import TimmBackbone
from .transformers_backbone import TransformersBackbone

__all__ = [
    'CADFormerSwin',
    'FirstStage',
    'FlatRecipe',
    'HostRecipe',
    'ReferringBackbone',
    'ReferringSwin',
    'ReferringViT',
    'TimmBackbone',
    'TransformersBackbone',
]
