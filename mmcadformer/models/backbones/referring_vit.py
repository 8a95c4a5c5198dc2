# SPDX-License-Identifier: Apache-2.0
"""A fusion at several depths of a Vision Transformer of one resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from mmseg.utils import ConfigType
from torch import Tensor, nn

from .host_features import StageFeature, find_module
from .host_recipes import FlatRecipe, HostRecipe, host_name
from .referring_backbone import ReferringBackbone


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SimpleFeaturePyramid(BaseModule):
    """Maps of four resolutions from the last one of a plain backbone.

    ViTDet's form (Li et al. 2022, "Exploring Plain Vision Transformer Backbones for
    Object Detection", Sec. 3 and Appendix A.2): deconvolutions of stride 2 up, max
    pooling down, then 1x1 and 3x3 convolutions, each with a LayerNorm.

    Args:
        in_channels: Of the map.
        out_channels: Of each result.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half, quarter = in_channels // 2, in_channels // 4
        up = nn.ConvTranspose2d
        self.levels = ModuleList()
        for resample, channels in (
            (
                nn.Sequential(
                    up(in_channels, half, 2, stride=2),
                    ChannelNorm(half),
                    nn.GELU(),
                    up(half, quarter, 2, stride=2),
                ),
                quarter,
            ),
            (up(in_channels, half, 2, stride=2), half),
            (nn.Identity(), in_channels),
            (nn.MaxPool2d(2, ceil_mode=True), in_channels),
        ):
            project = nn.Sequential(
                nn.Conv2d(channels, out_channels, 1, bias=False),
                ChannelNorm(out_channels),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                ChannelNorm(out_channels),
            )
            self.levels.append(nn.Sequential(resample, project))

    def forward(self, x: Tensor) -> list[Tensor]:
        """From (B, C, H, W) to (B, C', 4H, 4W), 2H, H and H/2, rounded up."""
        return [level(x).contiguous() for level in self.levels]


@MODELS.register_module()
class ReferringViT(ReferringBackbone):
    """A plain Vision Transformer with a fusion at several of its blocks.

    DINOv2, DINOv3, SigLIP, EVA02, BEiT: all blocks work on one grid. What the fusions
    give for the next stage goes through the blocks; what the last one gives for the
    decoder passes the host's last norm and becomes four maps, at strides of a
    quarter, a half, one and two patches.

    Args:
        host, fusion, **kwargs: Of :class:`ReferringBackbone`; a recipe of one's own
            has the keys of
            :class:`~mmcadformer.models.backbones.host_recipes.FlatRecipe`.
        depths: Blocks after which a fusion stands, from 1. None: four, evenly spaced,
            the last block among them.
        pyramid_channels: Of the four maps.
    """

    def __init__(
        self,
        host: ConfigType,
        fusion: ConfigType,
        depths: Sequence[int] | None = None,
        pyramid_channels: int = 256,
        **kwargs: Any,
    ) -> None:
        self._depths = tuple(depths) if depths is not None else None
        super().__init__(host, fusion, **kwargs)
        self.pyramid = SimpleFeaturePyramid(self.facts.channels[-1], pyramid_channels)
        self._pyramid_channels = pyramid_channels

    @property
    def channels(self) -> tuple[int, ...]:
        return (self._pyramid_channels,) * len(self.pyramid.levels)

    def _staged(self, recipe: Any) -> HostRecipe:
        name = host_name(self.host)
        if not isinstance(recipe, FlatRecipe):
            raise ValueError(
                f'backbone.host: {name} has several stages: use '
                "type='ReferringBackbone'"
            )
        try:
            _, blocks = find_module(self.host, recipe.blocks)
        except AttributeError as error:
            raise ValueError(f'backbone.host: {name} has {error}') from None
        count = len(list(blocks.children()))
        depths = self._depths
        if depths is None:
            parts = min(4, count)
            depths = tuple(count * (i + 1) // parts for i in range(parts))
        if list(depths) != sorted(set(depths)) or not 0 < depths[0] <= depths[-1]:
            raise ValueError(f'backbone.depths={depths} must rise, from 1 on')
        if depths[-1] != count:
            raise ValueError(
                f'backbone.depths={depths}: the last must be {count}, the last block '
                f'of {name}'
            )
        return recipe.at_depths(tuple(depth - 1 for depth in depths))

    def _build_norm(self, index: int, channels: int) -> nn.Module:
        last = index == len(self.recipe.stages) - 1
        return super()._build_norm(index, channels) if last else nn.Identity()

    def _to_maps(self, refined: list[tuple[Tensor, StageFeature]]) -> list[Tensor]:
        last = len(refined) - 1
        return self.pyramid(self._to_map(last, *refined[last]))
