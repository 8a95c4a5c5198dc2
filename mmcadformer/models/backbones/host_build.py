# SPDX-License-Identifier: Apache-2.0
"""Hosts from their configs, whatever library they come from."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from mmseg.models.backbones import SwinTransformer
from mmseg.registry import MODELS
from mmseg.utils import ConfigType
from torch import nn

from ..layers import fuse_window_attention
from .host_recipes import FlatRecipe, HostRecipe, find_recipe


def build_host(
    cfg: ConfigType, own_recipe: Mapping[str, Any] | None
) -> tuple[nn.Module, HostRecipe | FlatRecipe]:
    """A host with the keys that fusing it needs, and its recipe.

    Window attention of MMSegmentation's Swin runs in ``scaled_dot_product_attention``,
    as in :class:`ReferringSwin`.

    Args:
        cfg: Of the host. Keys that it sets win over those of the recipe.
        own_recipe: What the config says of its stages, see :func:`find_recipe`.

    Raises:
        ImportError: Its library isn't installed.
        ValueError: It isn't known where its stages are.
    """
    cfg = dict(cfg)
    kind = cfg.get('type')
    if isinstance(kind, str) and kind.startswith('mmpretrain.'):
        prepare_mmpretrain()
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    if isinstance(cls, type) and not hasattr(cls, 'recipe'):
        for key, value in find_recipe(cls, own_recipe).defaults.items():
            cfg.setdefault(key, value)
    host = MODELS.build(cfg)
    if isinstance(host, SwinTransformer):
        for stage in host.stages:
            for block in stage.blocks:
                fuse_window_attention(block)
    return host, find_recipe(host, own_recipe)


def prepare_mmpretrain() -> None:
    """Makes MMPretrain's backbones ready to build.

    Its multimodal part is left out: it imports parts of transformers that newer
    releases no longer have.

    Raises:
        ImportError: MMPretrain isn't installed, or the torchvision that it imports
            doesn't load.
    """
    if importlib.util.find_spec('mmpretrain') is None:
        raise ImportError(
            "backbone.host.type='mmpretrain....' needs MMPretrain: see "
            'docs/install.md, "MMPretrain and timm"'
        )
    try:
        dependency: Any = importlib.import_module('mmpretrain.utils.dependency')
        dependency.WITH_MULTIMODAL = False
        importlib.import_module('mmpretrain.models')
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f'MMPretrain does not load ({error}): install a torchvision that fits '
            'your PyTorch, see docs/install.md, "MMPretrain and timm"'
        ) from error
