# SPDX-License-Identifier: Apache-2.0
"""Swin Transformer with a vision-language fusion after each stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule, ModuleList
from mmseg.models.backbones import SwinTransformer
from mmseg.models.backbones.swin import SwinBlockSequence
from mmseg.registry import MODELS
from mmseg.utils import ConfigType
from torch import Tensor

from ..fusions.base import build_fusions
from ..layers import fuse_window_attention, sine_position_embedding


class FirstStage(NamedTuple):
    """Output of the first stage's blocks, which no language has touched."""

    visual: Tensor  # (B, H_1*W_1, C_1)
    hw_shape: tuple[int, int]
    stage_input: Tensor | None = None  # what entered the blocks, if a fusion needs it


class SwinStage(BaseModule):
    """The host's stage, layers and names kept, whose forward runs the blocks only.

    The fusion comes between them and ``downsample``, the patch merging.
    """

    def __init__(self, host: SwinBlockSequence) -> None:
        super().__init__()
        self.blocks = host.blocks
        self.downsample = host.downsample
        for block in self.blocks:
            fuse_window_attention(block)

    def forward(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Run the blocks on (B, H_i*W_i, C_i), giving V_i of the same shape."""
        for block in self.blocks:
            x = block(x, hw_shape)
        return x


@MODELS.register_module()
class ReferringSwin(SwinTransformer):
    """MMSegmentation's Swin with a fusion of image and text after each stage.

    Weights and converters of the host's Swin load unchanged. Window attention runs
    in ``scaled_dot_product_attention``.

    Args:
        fusion: Config of a :class:`~mmcadformer.models.fusions.StageFusion`, built
            once per stage with that stage's channels.
        text_channels: C_t, channels of the token features.
        text_output: Whether a later part (a text-aware neck or head) reads the text
            that the last stage returns. If not, parameters that only feed it are left
            out.
        steady_language: Have fusions that refine language features keep these from
            growing from stage to stage, see :class:`~mmcadformer.models.fusions.SMGAM`.
        **kwargs: Keys of :class:`mmseg.models.backbones.SwinTransformer`.
    """

    def __init__(
        self,
        fusion: ConfigType,
        text_channels: int = 768,
        text_output: bool = True,
        steady_language: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # As the host computes it: one size for both sides, or (height, width).
        size = kwargs.get('pretrain_img_size', 224)
        height, width = (size, size) if isinstance(size, int) else (size * 2)[:2]
        patch = kwargs.get('patch_size', 4)
        self._position_grid = (height // patch, width // patch)
        num_stages = len(self.stages)
        if tuple(self.out_indices) != tuple(range(num_stages)):
            raise ValueError(
                f'out_indices={self.out_indices}: every stage is fused and decoded, '
                f'so it must be {tuple(range(num_stages))}'
            )
        self.text_channels = text_channels
        self.text_output = text_output
        self.stages: ModuleList = ModuleList(map(SwinStage, self.stages))
        self.fusions = build_fusions(
            fusion, self.num_features, text_channels, text_output
        )
        if steady_language:
            for part in self.fusions:
                part.steady_language = True

    @property
    def strides(self) -> tuple[tuple[int, int], ...]:
        """Height and width in pixels of the image of one position of each stage."""
        strides = [tuple(self.patch_embed.projection.stride)]
        for stage in list(self.stages)[:-1]:
            step = stage.downsample.sampler.stride
            rows, columns = (step, step) if isinstance(step, int) else step
            strides.append((strides[-1][0] * rows, strides[-1][1] * columns))
        return tuple(strides)

    def train(self, mode: bool = True) -> ReferringSwin:
        """Switch mode and return the module, which the host's version doesn't."""
        super().train(mode)
        return self

    def init_weights(self) -> None:
        """Initialise or load the Swin part, then initialise the fusions."""
        try:
            super().init_weights()
        except OSError as error:
            raise RuntimeError(
                'model.backbone.init_cfg.checkpoint: cannot read '
                f'{self.init_cfg["checkpoint"]!r} ({error}). Give a local file by '
                '--cfg-options model.backbone.init_cfg.checkpoint=PATH, or train from '
                'scratch with model.backbone.init_cfg=None'
            ) from error
        if self.use_abs_pos_embed and self.init_cfg is None:
            # Small random embeddings, as the host has them, take a model from
            # scratch far longer to tell left from right.
            self.absolute_pos_embed.data = sine_position_embedding(
                *self._position_grid, self.num_features[0]
            )
        for fusion in self.fusions:
            fusion.init_weights()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, **kwargs: bool
    ) -> Any:
        """Load weights as :class:`torch.nn.Module` does, and say what didn't fit."""
        result = super().load_state_dict(state_dict, strict=strict, **kwargs)
        if len(result.unexpected_keys) == len(state_dict):
            raise RuntimeError(
                'model.backbone: none of the '
                f'{len(state_dict)} weights fits mmseg SwinTransformer (first key: '
                f'{next(iter(state_dict), None)!r}). Convert the file with '
                "MMSegmentation's tools/model_converters/swin2mmseg.py first"
            )
        missing = [k for k in result.missing_keys if not k.startswith('fusions.')]
        if missing or result.unexpected_keys:
            print_log(
                f'backbone weights: {len(missing)} not in the file '
                f'({", ".join(missing[:4])}), {len(result.unexpected_keys)} unused '
                f'({", ".join(result.unexpected_keys[:4])})',
                logger='current',
            )
        return result

    def forward(
        self, x: Tensor | FirstStage, text: Tensor, text_mask: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Encode images under the guidance of expressions.

        Args:
            x: Normalised images (B, 3, H, W), any size; or one image (1, 3, H, W)
                for all expressions, whose first stage runs once; or what
                :meth:`forward_first_stage` returned for either.
            text: L_1 (B, N, C_t).
            text_mask: Bool (B, N), True on real tokens.

        Returns:
            Maps for the decoder, one per stage (B, C_i, H_i, W_i), and the language
            features after the last stage (B, N, C_t).
        """
        first = x if isinstance(x, FirstStage) else self.forward_first_stage(x)
        visual, hw_shape, stage_input = first
        images, batch = visual.shape[0], text.shape[0]
        if images != 1 and images != batch:
            raise ValueError(
                f'{images} images and {batch} expressions: give one image per '
                'expression, or a single image'
            )
        maps = []
        for i, (stage, fusion) in enumerate(
            zip(self.stages, self.fusions, strict=True)
        ):
            if i > 0:
                stage_input = visual
                visual = stage(visual, hw_shape)  # Eq. (5)
            extra = {'stage_input': stage_input} if fusion.needs_stage_input else {}
            fused = fusion(visual, hw_shape, text, text_mask, **extra)
            maps.append(self._to_map(i, fused.to_decoder, hw_shape))
            text = fused.text
            if stage.downsample is not None:
                visual, hw_shape = stage.downsample(fused.to_next_stage, hw_shape)
        # Without language in the visual branch a single image stays one map.
        return tuple(
            m if m.shape[0] == batch else m.expand(batch, -1, -1, -1) for m in maps
        ), text

    def forward_first_stage(self, x: Tensor) -> FirstStage:
        """Everything that depends on the images (B, 3, H, W) alone."""
        x, hw_shape = self.patch_embed(x)
        if self.use_abs_pos_embed:
            x = x + self._position_embedding(hw_shape)
        x = self.drop_after_pos(x)
        stage_input = x if self.fusions[0].needs_stage_input else None
        return FirstStage(self.stages[0](x, hw_shape), hw_shape, stage_input)

    def _position_embedding(self, hw_shape: tuple[int, int]) -> Tensor:
        """The absolute position embedding, resized to the patches there are."""
        embedding = self.absolute_pos_embed
        if tuple(hw_shape) == self._position_grid:
            return embedding
        embedding = embedding.transpose(1, 2).unflatten(2, self._position_grid)
        embedding = F.interpolate(
            embedding, size=hw_shape, mode='bicubic', align_corners=False
        )
        return embedding.flatten(2).transpose(1, 2)

    def _to_map(self, stage: int, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        x = getattr(self, f'norm{stage}')(x)
        return x.transpose(1, 2).unflatten(2, tuple(hw_shape)).contiguous()
