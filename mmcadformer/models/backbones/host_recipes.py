# SPDX-License-Identifier: Apache-2.0
"""Where the stages of known backbones are: what a fusion needs to know of its host.

Read off the hosts' code, and held by ``tests/test_models/test_hosts*.py``, which runs
every entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from torch import nn

LAYOUTS = ('nchw', 'nhwc')


@dataclass(frozen=True)
class HostRecipe:
    """Where a fusion finds the stages of a host.

    Paths are those of ``named_modules``; '-1' stands for the last child.

    Args:
        stages: Modules whose output is V_i, one per stage. Its first tensor counts.
        norms: The host's norm of each V_i, where it only feeds the host's own output;
            None at stages that get a norm of the wrapper's own, since the host has
            none or goes on from the normed features.
        inputs: Modules whose input is the stage's input, for fusions that take it.
            None: the stages, or the first child where a stage is a last child.
        layout: Of 4-D features, 'nchw' or 'nhwc'; those with 3 axes are sequences.
        extra_tokens: Of a sequence, in front, that are no pixels (class, registers).
            A text names the host's attribute that holds their number.
        flat: The stages are single blocks among others of one container.
        keeps_batch: The host counts on the batch size that it started with, so that
            one image for many expressions is repeated first.
        defaults: Keys of the host's config unless it sets them.
    """

    stages: tuple[str, ...]
    norms: tuple[str | None, ...] | None = None
    inputs: tuple[str, ...] | None = None
    layout: str = 'nchw'
    extra_tokens: int | str = 0
    flat: bool = False
    keeps_batch: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f'recipe.layout={self.layout!r} must be one of {LAYOUTS}')
        for name in ('norms', 'inputs'):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.stages):
                raise ValueError(
                    f'recipe.{name} names {len(value)} modules for '
                    f'{len(self.stages)} stages'
                )


@dataclass(frozen=True)
class FlatRecipe:
    """Where a fusion finds the blocks of a Vision Transformer of one resolution.

    Args:
        blocks: The container of its blocks.
        norm: The norm after the last block; None if there is none.
        layout, extra_tokens, keeps_batch, defaults: See :class:`HostRecipe`.
    """

    blocks: str
    norm: str | None = None
    layout: str = 'nchw'
    extra_tokens: int | str = 0
    keeps_batch: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def at_depths(self, depths: tuple[int, ...]) -> HostRecipe:
        """The recipe whose stages end with the blocks of these numbers, from 0."""
        return HostRecipe(
            stages=tuple(f'{self.blocks}.{depth}' for depth in depths),
            norms=(None,) * (len(depths) - 1) + (self.norm,),
            layout=self.layout,
            extra_tokens=self.extra_tokens,
            flat=True,
            keeps_batch=self.keeps_batch,
        )


def four(path: str, first: int = 0, step: int = 1) -> tuple[str, ...]:
    """A path with the number of each of four stages in place of ``{}``."""
    return tuple(path.format(first + step * i) for i in range(4))


_ALL = dict(out_indices=(0, 1, 2, 3))
_SPATIAL = dict(_ALL, gap_before_final_norm=False)
_STAGES, _NORMS = four('stages.{}'), four('norm{}')

HOSTS: dict[str, HostRecipe] = {
    # MMSegmentation
    'mmseg.SwinTransformer': HostRecipe(four('stages.{}.blocks.-1'), _NORMS),
    'mmseg.MixVisionTransformer': HostRecipe(four('layers.{}.2')),
    'mmseg.MSCAN': HostRecipe(four('norm{}', first=1), keeps_batch=True),
    'mmseg.PCPVT': HostRecipe(
        four('norm_list.{}'), keeps_batch=True, defaults=dict(norm_after_stage=True)
    ),
    'mmseg.SVT': HostRecipe(
        four('norm_list.{}'), keeps_batch=True, defaults=dict(norm_after_stage=True)
    ),
    'mmseg.ResNet': HostRecipe(four('layer{}', first=1)),
    # MMPretrain
    'mmpretrain.SwinTransformer': HostRecipe(
        _STAGES, _NORMS, defaults=dict(_ALL, pad_small_map=True)
    ),
    'mmpretrain.SwinTransformerV2': HostRecipe(
        _STAGES, _NORMS, defaults=dict(_ALL, pad_small_map=True)
    ),
    'mmpretrain.DaViT': HostRecipe(
        _STAGES, _NORMS, defaults=dict(_ALL, pad_small_map=True)
    ),
    'mmpretrain.ConvNeXt': HostRecipe(_STAGES, _NORMS, defaults=_SPATIAL),
    'mmpretrain.EdgeNeXt': HostRecipe(_STAGES, _NORMS, defaults=_SPATIAL),
    # Its own checkpoints go around a hook on the stage as a whole.
    'mmpretrain.HorNet': HostRecipe(four('stages.{}.-1'), _NORMS, defaults=_SPATIAL),
    'mmpretrain.RepLKNet': HostRecipe(
        _STAGES, defaults=dict(_ALL, norm_intermediate_features=False)
    ),
    'mmpretrain.PoolFormer': HostRecipe(
        four('network.{}', step=2),
        four('norm{}', step=2),
        defaults=dict(out_indices=(0, 2, 4, 6)),
    ),
    'mmpretrain.EfficientFormer': HostRecipe(
        four('network.{}.-1'),
        (*four('norm{}')[:3], None),
        defaults=dict(_ALL, reshape_last_feat=True),
    ),
    'mmpretrain.VAN': HostRecipe(four('norm{}', first=1), defaults=_ALL),
    'mmpretrain.MViT': HostRecipe(
        _NORMS, keeps_batch=True, defaults=dict(out_scales=(0, 1, 2, 3))
    ),
    'mmpretrain.PCPVT': HostRecipe(
        four('norm_after_stage{}'),
        keeps_batch=True,
        defaults=dict(_ALL, norm_after_stage=True),
    ),
    'mmpretrain.SVT': HostRecipe(
        four('norm_after_stage{}'),
        keeps_batch=True,
        defaults=dict(_ALL, norm_after_stage=True),
    ),
    'mmpretrain.RepVGG': HostRecipe(four('stage_{}', first=1), defaults=_ALL),
    'mmpretrain.ResNet': HostRecipe(four('layer{}', first=1), defaults=_ALL),
}
"""Library and class of a staged host -> its recipe; subclasses inherit it."""

FLAT_HOSTS: dict[str, FlatRecipe] = {
    'mmseg.VisionTransformer': FlatRecipe(
        'layers', 'norm1', extra_tokens='with_cls_token', defaults=dict(final_norm=True)
    ),
    'mmseg.BEiT': FlatRecipe(
        'layers', 'norm1', extra_tokens=1, defaults=dict(final_norm=True)
    ),
    'mmpretrain.VisionTransformer': FlatRecipe(
        'layers',
        'ln1',
        extra_tokens='num_extra_tokens',
        defaults=dict(out_type='featmap'),
    ),
    'mmpretrain.BEiTViT': FlatRecipe(
        'layers',
        'ln1',
        extra_tokens='num_extra_tokens',
        defaults=dict(out_type='featmap', final_norm=True),
    ),
    'mmpretrain.ViTSAM': FlatRecipe(
        'layers', None, layout='nhwc', defaults=dict(out_channels=0)
    ),
}
"""The same for hosts of one resolution."""

NOT_THIS_WAY = {
    'HRNet': 'its four resolutions run side by side',
    'TinyViT': 'its stages are not modules of one kind',
    'HiViT': 'its windows are kept apart through the stages',
    'hiera': 'its pixels are not in raster order, which a fusion would not notice',
}
"""Hosts, by class or model type, that can't be fused, and why."""


def find_recipe(
    host: nn.Module | type, own: Mapping[str, Any] | None
) -> HostRecipe | FlatRecipe:
    """The recipe of a host or of its class, with what the config says otherwise.

    Args:
        host: The host; a class where none is built yet.
        own: Keys of :class:`HostRecipe` or :class:`FlatRecipe`. With ``stages`` or
            ``blocks`` among them the host needs no entry in the tables.

    Raises:
        ValueError: The host isn't known and ``own`` doesn't say where its stages are;
            a key is unknown.
    """
    own = dict(own or {})
    built: Any = host if isinstance(host, nn.Module) else None
    known: HostRecipe | FlatRecipe | None = getattr(built, 'recipe', None)
    known = known or _look_up(host if isinstance(host, type) else type(host))
    kind: type = FlatRecipe if 'blocks' in own else HostRecipe
    if 'stages' in own or 'blocks' in own:
        known = known if isinstance(known, kind) else None
    if known is None and not {'stages', 'blocks'} & own.keys():
        raise ValueError(_unknown(host))
    kind = type(known) if known is not None else kind
    names = {f.name for f in fields(kind)} - {'defaults', 'flat'}
    if own.keys() - names:
        raise ValueError(
            f'backbone.recipe: unknown keys {sorted(own.keys() - names)}; there are '
            f'{sorted(names)}'
        )
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in own.items()
    }
    base: Any = known
    made: HostRecipe | FlatRecipe
    made = replace(base, **values) if known is not None else kind(**values)
    return made


def host_name(host: nn.Module | type) -> str:
    """Library and class, as the tables have them; adapters have names of their own."""
    if isinstance(host, nn.Module) and hasattr(host, 'host_name'):
        return str(host.host_name)
    cls = host if isinstance(host, type) else type(host)
    return f'{cls.__module__.split(".")[0]}.{cls.__name__}'


def _look_up(cls: type) -> HostRecipe | FlatRecipe | None:
    for base in cls.__mro__:
        name = host_name(base)
        found = HOSTS.get(name) or FLAT_HOSTS.get(name)
        if found is not None:
            return found
    return None


def _unknown(host: nn.Module | type) -> str:
    name = host_name(host)
    reason = NOT_THIS_WAY.get(name.rsplit('.', 1)[-1])
    if reason is not None:
        return f'backbone.host: {name} cannot be fused stage by stage: {reason}'
    return (
        f'backbone.host: where the stages of {name} are is not known. Say it: '
        "backbone.recipe=dict(stages=['layer1', 'layer2', 'layer3', 'layer4']), see "
        'docs/backbones.md'
    )
