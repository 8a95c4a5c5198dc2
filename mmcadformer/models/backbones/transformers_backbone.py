# SPDX-License-Identifier: Apache-2.0
"""Backbones of ``transformers`` as hosts of a fusion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...utils.checkpoint import check_finite
from ...utils.pretrained_config import read_config
from ..layers.adapters import load_plain_weights
from ..layers.checkpointing import checkpoint_blocks
from .host_features import find_module
from .host_recipes import NOT_THIS_WAY, FlatRecipe, HostRecipe, four

_HIDDEN_NORMS = four('hidden_states_norms.stage{}', first=1)
_RECIPES: dict[str, HostRecipe | FlatRecipe] = {
    'swin': HostRecipe(four('encoder.layers.{}.blocks.-1'), _HIDDEN_NORMS),
    'swinv2': HostRecipe(four('encoder.layers.{}.blocks.-1')),
    'convnext': HostRecipe(four('encoder.stages.{}'), _HIDDEN_NORMS),
    'convnextv2': HostRecipe(four('encoder.stages.{}'), _HIDDEN_NORMS),
    'pvt_v2': HostRecipe(four('encoder.layers.{}.layer_norm'), keeps_batch=True),
    'focalnet': HostRecipe(four('encoder.stages.{}.layers.-1')),
    'resnet': HostRecipe(four('encoder.stages.{}')),
    'dinov3_convnext': HostRecipe(four('stages.{}')),
    'dinov2': FlatRecipe('encoder.layer', 'layernorm', extra_tokens=1),
    'dinov2_with_registers': FlatRecipe('encoder.layer', 'layernorm', extra_tokens=1),
    'dinov3_vit': FlatRecipe('layer', 'norm', extra_tokens=1, keeps_batch=True),
    'siglip_vision_model': FlatRecipe('encoder.layers', 'post_layernorm'),
    'clip_vision_model': FlatRecipe('encoder.layers', None, extra_tokens=1),
}
"""Model type -> where its stages are, in the model or in one of its children."""


@MODELS.register_module()
class TransformersBackbone(BaseModule):
    """A backbone of ``transformers``, for :class:`ReferringBackbone` or
    :class:`ReferringViT`.

    Args:
        pretrained: Folder or hub name of the weights, read when training starts.
        config: Keys of the model's config. They win over those of ``pretrained``;
            with ``model_type`` among them nothing has to be there to build the model.
        with_cp: Trade time for memory: keep the input of each block only.

    The model is ``.model``: paths in a recipe of one's own begin with it.

    Raises:
        ValueError, RuntimeError: See :func:`mmcadformer.utils.pretrained_config.
            read_config`; or the model type can't be fused.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        config: Mapping[str, Any] | None = None,
        with_cp: bool = False,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.pretrained = pretrained
        self.config = read_config(
            pretrained, config, 'model.backbone.host', 'vision_config'
        )
        name = self.config.model_type
        if name in NOT_THIS_WAY:
            raise ValueError(
                f'backbone.host: {name} cannot be fused stage by stage: '
                f'{NOT_THIS_WAY[name]}'
            )
        _ask_for_all_stages(self.config)
        auto = 'AutoBackbone' if _has_backbone(self.config) else 'AutoModel'
        self.model = getattr(transformers, auto).from_config(self.config)
        if with_cp:
            self._save_memory()

    @property
    def host_name(self) -> str:
        """As messages name it."""
        return f'transformers.{self.config.model_type}'

    @property
    def recipe(self) -> HostRecipe | FlatRecipe | None:
        """Where the stages are; None for a model type that isn't known."""
        found = _RECIPES.get(self.config.model_type)
        if found is None:
            return None
        if isinstance(found, HostRecipe):
            return HostRecipe(
                tuple(map(self._place, found.stages)),
                found.norms
                and tuple(self._place(path) for path in found.norms if path),
                keeps_batch=found.keeps_batch,
            )
        registers = getattr(self.config, 'num_register_tokens', 0)
        return FlatRecipe(
            self._place(found.blocks),
            self._place(found.norm) if found.norm else None,
            extra_tokens=int(found.extra_tokens) + registers,
            keeps_batch=found.keeps_batch,
        )

    def _place(self, path: str) -> str:
        """A path of the model, which some releases have one level down."""
        for name, module in (('', self.model), *self.model.named_children()):
            try:
                find_module(module, path)
            except AttributeError:
                continue
            return '.'.join(part for part in ('model', name, path) if part)
        return f'model.{path}'

    @property
    def pixel_statistics(self) -> tuple[list[float], list[float]] | None:
        """Mean and standard deviation, 0 to 255, beside the weights in a folder."""
        path = Path(self.pretrained or '').expanduser() / 'preprocessor_config.json'
        if self.pretrained is None or not path.is_file():
            return None
        content = json.loads(path.read_text(encoding='utf-8'))
        try:
            mean, std = content['image_mean'], content['image_std']
        except KeyError:
            return None
        return [255 * value for value in mean], [255 * value for value in std]

    def init_weights(self) -> None:
        """Load the pretrained weights, if any are named; safetensors or tensors only.

        Raises:
            RuntimeError: They can't be had, or don't belong to the model.
        """
        if self.pretrained is None:
            return
        where = 'model.backbone.host.pretrained'
        try:
            # Not by AutoBackbone, which takes a folder for a name from 5 on.
            cls: Any = type(self.model)
            source, report = cls.from_pretrained(
                self.pretrained,
                config=self.config,
                output_loading_info=True,
                trust_remote_code=False,
            )
            check_finite(source.state_dict(), self.pretrained)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise RuntimeError(
                f'{where}: cannot load the weights of {self.pretrained!r} ({reason}). '
                f'Give a local folder by --cfg-options {where}=PATH, or train from '
                f'scratch with {where}=None and model.backbone.host.config'
            ) from error
        missing = [k for k in report['missing_keys'] if 'hidden_states_norms' not in k]
        if len(missing) > len(self.model.state_dict()) // 2:
            raise RuntimeError(
                f'{where}: the weights in {self.pretrained!r} are of another model '
                f'({len(missing)} of {len(self.model.state_dict())} are missing, such '
                f'as {sorted(missing)[0]})'
            )
        if missing:
            print_log(
                f'{where}: not in the file: {", ".join(sorted(missing)[:4])}',
                logger='current',
            )
        load_plain_weights(self.model, source.state_dict())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps that the model gives by itself, from images (B, 3, H, W)."""
        options = {}
        if self.config.model_type in ('siglip_vision_model', 'clip_vision_model'):
            options['interpolate_pos_encoding'] = True
        result = self.model(x, **options)
        maps = getattr(result, 'feature_maps', None)
        return maps if maps is not None else (result.last_hidden_state,)

    def _save_memory(self) -> None:
        recipe = self.recipe
        if recipe is None or any(isinstance(m, _BatchNorm) for m in self.modules()):
            why = (
                'where its blocks are is not known'
                if recipe is None
                else ('its batch norms would count every batch twice')
            )
            raise ValueError(f'backbone.host.with_cp: not for {self.host_name}: {why}')
        if isinstance(recipe, FlatRecipe):
            containers = [find_module(self, recipe.blocks)[1]]
        else:
            containers = [self._blocks_before(path) for path in recipe.stages]
        for container in containers:
            checkpoint_blocks(container)

    def _blocks_before(self, path: str) -> nn.Module:
        """The container of the blocks of the stage that ends with a module."""
        parent = path.rpartition('.')[0]
        if path.endswith('.-1'):
            return find_module(self, parent)[1]
        for owner in (path, parent):
            _, module = find_module(self, owner)
            for name in ('blocks', 'layers'):
                if isinstance(getattr(module, name, None), nn.Module):
                    return getattr(module, name)
        raise ValueError(
            f'backbone.host.with_cp: where the blocks of {self.host_name} are is not '
            'known'
        )


def _has_backbone(config: transformers.PretrainedConfig) -> bool:
    # Takes long to import, and most runs build no such backbone.
    from transformers.models.auto import modeling_auto

    return type(config) in modeling_auto.MODEL_FOR_BACKBONE_MAPPING


def _ask_for_all_stages(config: transformers.PretrainedConfig) -> None:
    """Norms are only built for the stages that are asked for."""
    names = getattr(config, 'stage_names', None)
    if names and config.model_type in _RECIPES:
        if isinstance(_RECIPES[config.model_type], HostRecipe):
            config.out_features = list(names[1:])
