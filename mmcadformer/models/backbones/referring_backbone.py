# SPDX-License-Identifier: Apache-2.0
"""A vision-language fusion after each stage of any staged backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from mmseg.utils import ConfigType
from torch import Tensor, nn

from ..fusions.base import HW, build_fusions
from ..layers.adapters import add_adapters, is_adapter
from .host_build import build_host
from .host_features import (
    StageFeature,
    find_module,
    first_tensor,
    read_feature,
    with_first_tensor,
)
from .host_layers import parameter_layers
from .host_proof import extra_tokens, prove_host
from .host_recipes import HostRecipe, host_name


class FusionCall:
    """State of one forward pass: what the hooks read and leave behind."""

    def __init__(self, text: Tensor, text_mask: Tensor, image_size: HW) -> None:
        self.text = text
        self.text_mask = text_mask
        self.image_size = image_size
        self.stage_input: Tensor | None = None
        # Per stage: for the decoder (B, H*W, C_i), and the feature that it is of.
        self.refined: list[tuple[Tensor, StageFeature]] = []


class StageHook:
    """Runs the fusion of a stage on what the stage puts out.

    An object and no closure: a copy of the backbone copies it along, and it can be
    pickled.
    """

    def __init__(self, owner: ReferringBackbone, index: int) -> None:
        self.owner = owner
        self.index = index

    def __call__(
        self, module: nn.Module, args: tuple, kwargs: dict, output: Any
    ) -> Any:
        return self.owner.fuse_stage(self.index, args, kwargs, output)


class InputHook:
    """Notes what enters the blocks of a stage."""

    def __init__(self, owner: ReferringBackbone) -> None:
        self.owner = owner

    def __call__(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self.owner.note_stage_input(args, kwargs)


@MODELS.register_module()
class ReferringBackbone(BaseModule):
    """Any backbone of several stages, with a fusion of image and text after each.

    The host is built from its own config and stays as it is, with its weights' names
    below ``host.``. Hooks on its stages run the fusions; what a fusion gives for the
    next stage goes on through the host, and what it gives for the decoder passes the
    host's norm of that stage. Where the host has none, or goes on from the normed
    feature itself, the decoder's map passes a LayerNorm of the wrapper's own.

    Args:
        host: Config of the backbone, e.g. ``dict(type='mmpretrain.ConvNeXt',
            arch='base')``, :class:`TimmBackbone` or :class:`TransformersBackbone`.
        fusion: Config of a :class:`~mmcadformer.models.fusions.StageFusion`, built
            once per stage with that stage's channels.
        text_channels: C_t, channels of the token features.
        text_output: Whether a later part (a text-aware neck or head) reads the text
            that the last stage returns. If not, parameters that only feed it are left
            out.
        recipe: Where the host's stages are: keys of
            :class:`~mmcadformer.models.backbones.host_recipes.HostRecipe`. What is
            known of a host needs not be said.
        probe_size: Side in pixels of the image that the host is tried on when it is
            built. None tries 64, then larger ones.
        lora: Train low-rank adapters in place of the host's weights: keys of
            :func:`~mmcadformer.models.layers.adapters.add_adapters`.
        init_cfg: Of the wrapper; weights of the host come by the host's own.

    Raises:
        ValueError: The host isn't fit for it; the message says why.
    """

    def __init__(
        self,
        host: ConfigType,
        fusion: ConfigType,
        text_channels: int = 768,
        text_output: bool = True,
        recipe: Mapping[str, Any] | None = None,
        probe_size: int | None = None,
        lora: Mapping[str, Any] | None = None,
        init_cfg: ConfigType | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.host, found = build_host(host, recipe)
        self.recipe = self._staged(found)
        self.text_channels = text_channels
        self.text_output = text_output
        self._call: FusionCall | None = None
        facts = prove_host(self.host, self.recipe, probe_size)
        self.facts = facts
        self._extra_tokens = extra_tokens(self.host, self.recipe)
        self._freeze_unused()
        if lora is not None:
            add_adapters(self.host, lora, 'backbone.lora', self._weights_source())
        self.fusions = build_fusions(fusion, facts.channels, text_channels, text_output)
        self.norms = ModuleList(
            self._build_norm(i, channels) for i, channels in enumerate(facts.channels)
        )
        self._add_hooks()

    @property
    def channels(self) -> tuple[int, ...]:
        """C_i of each map that goes to neck or decode head."""
        return self.facts.channels

    @property
    def strides(self) -> tuple[tuple[int, int], ...]:
        """Height and width in pixels of the image of one position of each stage."""
        return self.facts.strides

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names in the host of the modules that end its stages."""
        return tuple(find_module(self.host, path)[0] for path in self.recipe.stages)

    @property
    def pixel_statistics(self) -> tuple[list[float], list[float]] | None:
        """Mean and standard deviation, 0 to 255, that the host's weights want."""
        return getattr(self.host, 'pixel_statistics', None)

    def init_weights(self) -> None:
        """Initialise or load the host, then initialise the fusions.

        Raises:
            RuntimeError: The host's weights can't be had or don't fit.
        """
        if self.facts.unused:
            print_log(
                f'{host_name(self.host)}: nothing depends on '
                f'{", ".join(self.facts.unused)}; frozen',
                logger='current',
            )
        if self.init_cfg is not None:
            super().init_weights()
            return
        host: Any = self.host
        missing: list[str] = []
        handle = host.register_load_state_dict_post_hook(
            lambda _, keys: missing.extend(keys.missing_keys)
        )
        _, source = self._weights_source()
        try:
            if hasattr(host, 'init_weights'):
                host.init_weights()
        except OSError as error:
            raise RuntimeError(
                f'model.backbone.host.init_cfg.checkpoint: cannot read {source!r} '
                f'({error}). Give a local file by --cfg-options '
                'model.backbone.host.init_cfg.checkpoint=PATH, or train from scratch '
                'with model.backbone.host.init_cfg=None'
            ) from error
        finally:
            handle.remove()
        missing = [name for name in missing if not is_adapter(name)]
        if len(missing) > len(host.state_dict()) // 2:
            raise RuntimeError(
                f'model.backbone.host.init_cfg.checkpoint: the weights in {source!r} '
                f'are of another model than {host_name(host)}: {len(missing)} are '
                f'missing, such as {missing[0]}. If their names begin alike, say how '
                "by model.backbone.host.init_cfg.prefix='backbone.'"
            )
        for fusion in self.fusions:
            fusion.init_weights()

    def forward(
        self, x: Tensor, text: Tensor, text_mask: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Encode images under the guidance of expressions.

        Args:
            x: Normalised images (B, 3, H, W); or one image (1, 3, H, W) for all
                expressions, whose first stage runs once if the host allows it.
            text: L_1 (B, N, C_t).
            text_mask: Bool (B, N), True on real tokens.

        Returns:
            Maps for the decoder, one per stage (B, C_i, H_i, W_i), and the language
            features after the last stage (B, N, C_t).
        """
        batch = text.shape[0]
        if x.shape[0] not in (1, batch):
            raise ValueError(
                f'{x.shape[0]} images and {batch} expressions: give one image per '
                'expression, or a single image'
            )
        if self.recipe.keeps_batch and x.shape[0] != batch:
            x = x.expand(batch, -1, -1, -1)
        call = self._call = FusionCall(text, text_mask, (x.shape[2], x.shape[3]))
        try:
            self.host(x)
        except (AssertionError, RuntimeError) as error:
            if type(error) not in (AssertionError, RuntimeError):
                raise  # a kind of its own, such as too little memory
            height, width = call.image_size
            raise ValueError(
                f'backbone.host: {host_name(self.host)} fails on images of {height} x '
                f'{width} px: {error}'
            ) from error
        finally:
            self._call = None
        maps = self._to_maps(call.refined)
        # Without language in the visual branch a single image stays one map.
        return tuple(
            m if m.shape[0] == batch else m.expand(batch, -1, -1, -1) for m in maps
        ), call.text

    def fuse_stage(self, index: int, args: tuple, kwargs: dict, output: Any) -> Any:
        """What a stage puts out, fused; called by its hook.

        Args:
            index: Of the stage, from 0.
            args, kwargs, output: Of the stage's module.
        """
        call = self._call
        if call is None:
            self._check_alone()
            return output
        around = list(output) if isinstance(output, (tuple, list)) else []
        tensor = first_tensor(output)
        if tensor is None:
            raise RuntimeError(f'stage {index + 1} of the host puts out no tensor')
        feature = read_feature(
            tensor,
            self.recipe.layout,
            self._extra_tokens,
            [*around, *args, *kwargs.values()],
            call.image_size,
            self.facts.strides[index],
        )
        fusion = self.fusions[index]
        extra = {}
        if fusion.needs_stage_input:
            extra['stage_input'] = self._stage_input(index, feature)
        fused = fusion(
            feature.pixels, feature.hw_shape, call.text, call.text_mask, **extra
        )
        call.text = fused.text
        call.refined.append((fused.to_decoder, feature))
        onward = feature.in_host_layout(fused.to_next_stage)
        return with_first_tensor(output, onward)

    def note_stage_input(self, args: tuple, kwargs: dict) -> None:
        """Keeps what enters a stage; called by its hook."""
        if self._call is not None:
            self._call.stage_input = first_tensor([*args, *kwargs.values()])

    def parameter_layers(self) -> tuple[dict[str, int], int]:
        """Parameter of the host -> its layer, from 0; and how many layers there are."""
        return parameter_layers(self.facts.stage_of, self.stage_names, self.recipe)

    def _weights_source(self) -> tuple[str, str | None]:
        """The key of the config that names the host's weights, and its value."""
        host: Any = self.host
        init_cfg = getattr(host, 'init_cfg', None)
        if isinstance(init_cfg, Mapping) and 'checkpoint' in init_cfg:
            return 'model.backbone.host.init_cfg.checkpoint', init_cfg['checkpoint']
        name = getattr(host, 'pretrained', None)
        name = host.model_name if name is True else name
        return 'model.backbone.host.pretrained', name or None

    def _staged(self, recipe: Any) -> HostRecipe:
        if not isinstance(recipe, HostRecipe):
            raise ValueError(
                f'backbone.host: {host_name(self.host)} has one resolution and no '
                "stages: use type='ReferringViT'"
            )
        return recipe

    def _build_norm(self, index: int, channels: int) -> nn.Module:
        """A norm of one's own, where the host's can't be had."""
        return nn.Identity() if self._host_norm(index) else nn.LayerNorm(channels)

    def _host_norm(self, index: int) -> str | None:
        norms = self.recipe.norms
        return norms[index] if norms is not None else None

    def _to_maps(self, refined: list[tuple[Tensor, StageFeature]]) -> list[Tensor]:
        return [self._to_map(i, *entry) for i, entry in enumerate(refined)]

    def _to_map(self, index: int, pixels: Tensor, feature: StageFeature) -> Tensor:
        """What goes to the decoder (B, H*W, C_i), normed, as (B, C_i, H, W)."""
        path = self._host_norm(index)
        if path is None:
            pixels = self.norms[index](pixels)
        features = feature.in_host_layout(pixels, with_extra=False)
        if path is not None:
            features = find_module(self.host, path)[1](features)
        return feature.to_map(features)

    def _stage_input(self, index: int, feature: StageFeature) -> Tensor:
        tensor = self._call.stage_input if self._call is not None else None
        if tensor is None:
            raise RuntimeError(f'stage {index + 1} of the host noted no input')
        try:
            entered = read_feature(
                tensor,
                self.recipe.layout,
                self._extra_tokens,
                (),
                feature.hw_shape,
                (1, 1),
            ).pixels
        except ValueError:
            entered = tensor
        if entered.shape[1:] != feature.pixels.shape[1:]:
            raise ValueError(
                f'backbone.fusion needs the input of stage {index + 1} of '
                f'{host_name(self.host)}, but what enters has the shape '
                f'{tuple(tensor.shape)}, and not {tuple(feature.pixels.shape[1:])} as '
                'what comes out: name modules behind the down-sampling by '
                'backbone.recipe.inputs'
            )
        return entered

    def _add_hooks(self) -> None:
        for i, path in enumerate(self.recipe.stages):
            _, stage = find_module(self.host, path)
            # First: transformers 5 reads what stages put out by hooks, too.
            stage.register_forward_hook(
                StageHook(self, i), prepend=True, with_kwargs=True
            )
            if self.fusions[i].needs_stage_input:
                entrance = self.recipe.inputs[i] if self.recipe.inputs else path
                if self.recipe.inputs is None and path.endswith('.-1'):
                    entrance = f'{path.removesuffix(".-1")}.0'
                _, module = find_module(self.host, entrance)
                module.register_forward_pre_hook(InputHook(self), with_kwargs=True)

    def _check_alone(self) -> None:
        if self.training and any(p.requires_grad for p in self.host.parameters()):
            raise RuntimeError(
                f'a stage of {host_name(self.host)} ran outside of its forward pass: '
                'checkpoints around whole stages leave the fusions out; switch them '
                'off'
            )

    def _freeze_unused(self) -> None:
        """Freezes what gets no gradient by nature, so that DDP needs no search."""
        for name, parameter in self.host.named_parameters():
            if name in self.facts.unused:
                parameter.requires_grad_(False)
