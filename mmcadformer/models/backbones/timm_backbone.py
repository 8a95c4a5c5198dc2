# SPDX-License-Identifier: Apache-2.0
"""Backbones of ``timm`` as hosts of a fusion."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from ...utils.checkpoint import read_checkpoint
from ..layers.adapters import load_plain_weights
from .host_recipes import FlatRecipe, HostRecipe

_STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A backbone of ``timm``, for :class:`ReferringBackbone` or :class:`ReferringViT`.

    Args:
        model_name: As ``timm.list_models`` has it.
        pretrained: True for the public weights of that name, or a file of one's own
            (``.safetensors`` or PyTorch's), read when training starts.
        **kwargs: Of ``timm.create_model``, e.g. ``drop_path_rate``. Models that take
            one size of image only are told to take any, where they can.

    The model is ``.model``: paths in a recipe of one's own begin with it.

    Raises:
        ImportError: timm isn't installed or doesn't load.
        ValueError: It has no model of that name.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool | str = False,
        init_cfg: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(init_cfg)
        self.model_name = model_name
        self.pretrained = pretrained
        self._timm = _import_timm()
        if not self._timm.is_model(model_name.split('.')[0]):
            raise ValueError(
                f'backbone.host.model_name: timm {self._timm.__version__} has no model '
                f'{model_name!r}; timm.list_models() names them'
            )
        self._kwargs = dict(kwargs, num_classes=0)
        self.model = self._create()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state['_timm'] = None  # a module can't be copied
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._timm = _import_timm()

    @property
    def host_name(self) -> str:
        """As messages name it."""
        return f'timm.{self.model_name}'

    @property
    def recipe(self) -> HostRecipe | FlatRecipe | None:
        """Where the stages are, as timm's table of features says; None if it has none.

        The last module of each of the strides 4 to 32 ends a stage.
        """
        entries = list(getattr(self.model, 'feature_info', ()))
        if type(self.model).__name__ == 'Hiera' or not entries:
            return None
        layout = getattr(self.model, 'output_fmt', 'NCHW')
        layout = str(getattr(layout, 'value', layout)).lower()
        if len({entry['reduction'] for entry in entries}) == 1:
            blocks = entries[0]['module'].rpartition('.')[0]
            return FlatRecipe(
                f'model.{blocks}',
                'model.norm' if hasattr(self.model, 'norm') else None,
                extra_tokens=getattr(self.model, 'num_prefix_tokens', 0),
            )
        last = {entry['reduction']: entry['module'] for entry in entries}
        if any(stride not in last for stride in _STRIDES):
            return None
        stages = tuple(f'model.{last[stride]}' for stride in _STRIDES)
        return HostRecipe(stages, layout=layout)

    @property
    def pixel_statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation, 0 to 255, of the public weights."""
        cfg = self.model.pretrained_cfg
        mean, std = cfg['mean'], cfg['std']
        return [255 * value for value in mean], [255 * value for value in std]

    def init_weights(self) -> None:
        """Load the weights, if any are named, without running code from the file.

        Raises:
            RuntimeError: They can't be had, or don't belong to the model.
        """
        if not self.pretrained:
            return
        where = 'model.backbone.host.pretrained'
        try:
            path = self.pretrained if self.pretrained is not True else self._fetch()
            state = read_checkpoint(Path(path).expanduser())['state_dict']
            source = self._create(
                pretrained=True, pretrained_cfg_overlay=dict(state_dict=state)
            )
            _check_taken(source.state_dict(), state)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise RuntimeError(
                f'{where}: cannot load the weights of {self.model_name!r} ({reason}). '
                f'Give a local file by --cfg-options {where}=PATH, or train from '
                f'scratch with {where}=False'
            ) from error
        load_plain_weights(self.model, source.state_dict())

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """The features before the head, from images (B, 3, H, W)."""
        return (self.model.forward_features(x),)

    def _fetch(self) -> str:
        from huggingface_hub import hf_hub_download

        name = self.model.pretrained_cfg.get('hf_hub_id')
        if name is None:
            raise ValueError(f'timm knows no public weights of {self.model_name}')
        return hf_hub_download(name, 'model.safetensors')

    def _create(self, **kwargs: Any) -> Any:
        """With every size of image allowed, where the model has a key for it."""
        for any_size in (
            dict(dynamic_img_size=True, dynamic_img_pad=True),
            dict(dynamic_img_size=True),
            dict(strict_img_size=False),
            dict(),
        ):
            try:
                options = {**any_size, **self._kwargs, **kwargs}
                return self._timm.create_model(self.model_name, **options)
            except TypeError as error:
                if not any(key in str(error) for key in any_size):
                    raise
        raise AssertionError('the last form has no key that can be refused')


def _import_timm() -> Any:
    try:
        return importlib.import_module('timm')
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"backbone.host.type='TimmBackbone' needs timm and a torchvision that fits "
            f'your PyTorch ({error}): see docs/install.md, "MMPretrain and timm"'
        ) from error


def _check_taken(taken: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    """Refuses a file of which a model took next to nothing.

    timm renames and reshapes, and says of what is left out only that it may be meant;
    neither changes how many values a tensor has, nor their sum.
    """
    sums = {(t.numel(), float(t.double().sum())) for t in given.values()}
    found = [(t.numel(), float(t.double().sum())) in sums for t in taken.values()]
    if sum(found) < len(found) // 2:
        raise ValueError(f'they are of another model: {sum(found)} of {len(found)} fit')
