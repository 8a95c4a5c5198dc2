# SPDX-License-Identifier: Apache-2.0
"""The top-down decoder that the whole family of methods shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import ModuleDict
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, SampleList
from torch import Tensor, nn

from ..layers import AdaptiveRotatedConv2d, TextDecoderLayer
from ..losses import pixel_accuracy
from .presence_head import PresenceHead


class SegBlock(nn.Sequential):
    """``Seg`` of Eqs. (11), (12): two 3x3 convolutions, each with BN and ReLU.

    With ``rotated``, the second convolution is an adaptive rotated one.
    """

    def __init__(self, in_channels: int, channels: int, rotated: bool) -> None:
        second: nn.Module
        if rotated:
            second = AdaptiveRotatedConv2d(channels, channels)
        else:
            second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            second,
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )


@MODELS.register_module()
class ReferringDecodeHead(BaseDecodeHead):
    """Coarse-to-fine decoder over four levels, with or without the text.

    ``Y_4 = V_4``; ``Y_i = Seg([up(Y_{i+1}); V_i])``, for the levels in
    ``text_levels`` followed by a Transformer decoder layer whose memory is the text;
    then a 1x1 convolution to two classes. Without rotation and without text it is
    the standard decoder of LAVT and LGCE, with rotation RMSIN's oriented-aware
    decoder, with both CADFormer's TCMD (:class:`TCMDHead`).

    Args:
        in_channels: Channels of the levels, fine to coarse.
        rotated: Adaptive rotated convolution as the second one of each ``Seg`` block.
        text_levels: Levels (1 is the finest) that attend to the text.
        text_channels: C_t.
        project_text: Project the text to ``channels`` first; without it both widths
            must agree.
        attend_to_padding: Let pixels attend to padding tokens, as CADFormer's released
            code does.
        num_heads, feedforward_channels, dropout: Of the Transformer layers.
        presence: Keys of a :class:`PresenceHead` that decides whether there is a target
            at all, ``{}`` for its defaults. Samples without one then carry no loss of
            their masks.
        channels, align_corners, **kwargs: Keys of
            :class:`mmseg.models.decode_heads.BaseDecodeHead`. In ``loss_decode``, the
            host's ``DiceLoss`` stands for :class:`MaskedDiceLoss` and its softmax
            ``CrossEntropyLoss`` for :class:`MaskedCrossEntropyLoss`.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (128, 256, 512, 1024),
        channels: int = 512,
        rotated: bool = False,
        text_levels: Sequence[int] = (),
        text_channels: int = 768,
        project_text: bool = True,
        attend_to_padding: bool = False,
        num_heads: int = 8,
        feedforward_channels: int = 2048,
        dropout: float = 0.1,
        presence: ConfigType | None = None,
        align_corners: bool = True,
        **kwargs: Any,
    ) -> None:
        losses = kwargs.get('loss_decode', dict(type='CrossEntropyLoss'))
        kwargs['loss_decode'] = _masked(losses)
        kwargs.setdefault('num_classes', 2)
        kwargs.setdefault('out_channels', kwargs['num_classes'])
        kwargs.setdefault('dropout_ratio', 0.0)
        kwargs.setdefault('in_index', tuple(range(len(in_channels))))
        super().__init__(
            in_channels=tuple(in_channels),
            channels=channels,
            align_corners=align_corners,
            input_transform='multiple_select',
            **kwargs,
        )
        levels = range(1, len(in_channels))
        if not set(text_levels) <= set(levels):
            raise ValueError(
                f'decode_head.text_levels={tuple(text_levels)} must be among '
                f'{tuple(levels)}'
            )
        self.seg_blocks = ModuleDict()
        below = in_channels[-1]
        for level in reversed(levels):
            self.seg_blocks[str(level)] = SegBlock(
                below + in_channels[level - 1], channels, rotated
            )
            below = channels
        self.text_layers = ModuleDict()
        for level in text_levels:
            self.text_layers[str(level)] = TextDecoderLayer(
                channels, num_heads, feedforward_channels, dropout
            )
        self.attend_to_padding = attend_to_padding
        if text_levels and not project_text and text_channels != channels:
            raise ValueError(
                f'decode_head.project_text=False needs text_channels={text_channels} '
                f'to equal channels={channels}'
            )
        if text_levels and project_text:
            self.text_proj = nn.Linear(text_channels, channels)
        self.presence: PresenceHead | None = None
        if presence is not None:
            known = dict(in_channels=channels, text_channels=text_channels)
            self.presence = MODELS.build({'type': 'PresenceHead', **presence, **known})

    @property
    def uses_text(self) -> bool:
        """Whether the head reads the text that the backbone returns."""
        return len(self.text_layers) > 0 or self.presence is not None

    def forward(
        self,
        inputs: Sequence[Tensor],
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Decode levels (B, C_i, H_i, W_i), fine to coarse, to (B, classes, H_1, W_1).

        A head with ``text_levels`` needs the refined language features L_5
        (B, N, C_t) and their mask, bool (B, N), True on real tokens.
        """
        return self.cls_seg(self._decode(inputs, text, text_mask))

    def forward_with_presence(
        self,
        inputs: Sequence[Tensor],
        text: Tensor,
        text_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What :meth:`forward` gives, and the presence head's logits (B,)."""
        assert self.presence is not None
        features = self._decode(inputs, text, text_mask)
        return self.cls_seg(features), self.presence(features, text, text_mask)

    def _decode(
        self, inputs: Sequence[Tensor], text: Tensor | None, text_mask: Tensor | None
    ) -> Tensor:
        """The finest map (B, channels, H_1, W_1)."""
        levels = self._transform_inputs(inputs)
        if hasattr(self, 'text_proj'):
            text = self.text_proj(text)
        y = levels[-1]  # Eq. (10)
        for level in range(len(levels) - 1, 0, -1):
            finer = levels[level - 1]
            y = torch.cat([self._resize(y, finer.shape[2:]), finer], dim=1)
            y = self.seg_blocks[str(level)](y)  # Eq. (11), Eq. (12)
            if str(level) in self.text_layers:
                y = self._attend_to_text(str(level), y, text, text_mask)  # Eq. (11)
        return y

    def _resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """Interpolate without the host's advice on sizes: the family aligns corners."""
        return resize(x, size, None, 'bilinear', self.align_corners, warning=False)

    def _attend_to_text(
        self, level: str, y: Tensor, text: Tensor | None, text_mask: Tensor | None
    ) -> Tensor:
        """One Transformer decoder layer: pixels are queries, words the memory."""
        mask = None
        if text_mask is not None and not self.attend_to_padding:
            mask = text_mask.bool()
        sequence = y.flatten(2).transpose(1, 2)  # (B, H*W, C)
        sequence = self.text_layers[level](sequence, text, mask)
        return sequence.transpose(1, 2).unflatten(2, y.shape[2:]).contiguous()

    def _stack_batch_gt(self, batch_data_samples: SampleList) -> Tensor:
        """Labels (B, 1, H, W); with a presence head, samples without target count not.

        Their pixels get the label to be ignored.
        """
        labels = super()._stack_batch_gt(batch_data_samples)
        if self.presence is None:
            return labels
        present = (labels == 1).flatten(1).any(dim=1)
        return labels.where(present[:, None, None, None], self.ignore_index)

    def presence_loss(
        self, logits: Tensor, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Loss of the presence head's logits (B,), by name."""
        assert self.presence is not None
        labels = super()._stack_batch_gt(batch_data_samples)
        return dict(loss_presence=self.presence.loss(logits.float(), labels))

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Losses by name, and the accuracy in percent, none of which is waited for."""
        labels = self._stack_batch_gt(batch_data_samples)  # (B, 1, H, W)
        logits = self._resize(_precise(seg_logits), labels.shape[2:])
        weight = None
        if self.sampler is not None:
            weight = self.sampler.sample(logits, labels)
        labels = labels.squeeze(1)
        losses = self.loss_decode
        result: dict[str, Tensor] = {}
        for loss in losses if isinstance(losses, nn.ModuleList) else [losses]:
            value = loss(logits, labels, weight=weight, ignore_index=self.ignore_index)
            name = str(loss.loss_name)
            result[name] = result[name] + value if name in result else value
        result['acc_seg'] = pixel_accuracy(logits, labels, self.ignore_index)
        return result

    def predict_by_feat(
        self, seg_logits: Tensor, batch_img_metas: list[dict]
    ) -> Tensor:
        """Logits at the size of the network's input, without the host's warning."""
        meta = batch_img_metas[0]
        size = meta['img_shape']
        if not isinstance(size, torch.Size):  # which a sliding window's crop has
            size = meta.get('pad_shape', size)
        return self._resize(_precise(seg_logits), size[:2])


def _precise(logits: Tensor) -> Tensor:
    """Logits in float32 at least, which a network in mixed precision doesn't give.

    Between two pixels in bfloat16 there are few values, and sums over a map are off.
    """
    return logits if logits.dtype == torch.float64 else logits.float()


def _masked(losses: Any) -> Any:
    """Losses of a config, by those that weigh pixels in place of picking them."""
    if not isinstance(losses, dict):
        return [_masked(loss) for loss in losses]
    kind = str(losses.get('type', '')).removeprefix('mmseg.')
    if kind == 'DiceLoss':
        return dict(losses, type='MaskedDiceLoss')
    others = losses.get('use_sigmoid') or losses.get('use_mask')
    if kind == 'CrossEntropyLoss' and not others:
        return dict(losses, type='MaskedCrossEntropyLoss')
    return losses
