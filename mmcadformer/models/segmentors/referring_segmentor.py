# SPDX-License-Identifier: Apache-2.0
"""Text encoder, backbone, neck and decode head, tied together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import ConfigType, OptSampleList, SampleList, add_prefix
from torch import Tensor

from ...utils.log import warn
from ...utils.precision import AMP_TYPES, autocast, describe_amp

_HOST = 'SegDataPreProcessor'


@MODELS.register_module()
class ReferringSegmentor(EncoderDecoder):
    """Segments the object that an expression names.

    text encoder -> backbone(image, text) -> neck -> decode head(levels, text).

    Args:
        text_encoder: Config of the text encoder.
        **kwargs: Keys of :class:`mmseg.models.EncoderDecoder` (``backbone``,
            ``neck``, ``decode_head``, ``data_preprocessor``, ``test_cfg``...).
            :class:`NonBlockingPreProcessor` stands for ``SegDataPreProcessor``.

    Attributes:
        amp: Type of automatic mixed precision in inference, 'bf16' or 'fp16'; None
            for float32. By default that of ``test_cfg.amp``.
    """

    def __init__(self, text_encoder: ConfigType, **kwargs: Any) -> None:
        # The host reads `test_cfg.mode` as an attribute.
        kwargs['test_cfg'] = ConfigDict(kwargs.get('test_cfg') or dict(mode='whole'))
        if kwargs.get('decode_head', {}).get('presence') is not None:
            # The presence head reads the text, whether or not the decoder does.
            kwargs['backbone'] = dict(kwargs['backbone'], text_output=True)
        preprocessor = kwargs.get('data_preprocessor')
        if isinstance(preprocessor, dict) and preprocessor.get('type') == _HOST:
            kwargs['data_preprocessor'] = dict(
                preprocessor, type='NonBlockingPreProcessor'
            )
        super().__init__(**kwargs)
        self._presence: list[Tensor] = []  # scores (B,) of each window of a batch
        self.text_encoder = MODELS.build(text_encoder)
        self.amp: str | None = self.test_cfg.get('amp')
        if self.amp is not None and self.amp not in AMP_TYPES:
            raise ValueError(
                f'model.test_cfg.amp={self.amp!r} must be one of {list(AMP_TYPES)}, '
                'or None'
            )
        self._check_parts()

    def _check_parts(self) -> None:
        if self.decode_head.out_channels != 2:
            raise ValueError(
                f'decode_head.out_channels={self.decode_head.out_channels}: it must be '
                '2, background and target'
            )
        if self.backbone.text_channels != self.text_encoder.out_channels:
            raise ValueError(
                f'backbone.text_channels={self.backbone.text_channels}, but the text '
                f'encoder gives {self.text_encoder.out_channels} channels'
            )
        text_used = self.decode_head.uses_text or getattr(
            getattr(self, 'neck', None), 'uses_text', False
        )
        if self.backbone.text_output != text_used:
            raise ValueError(
                f'backbone.text_output={self.backbone.text_output}, but the neck and '
                f'decode head {"do" if text_used else "do not"} read the text: set '
                f'backbone.text_output={text_used}, or parameters stay without '
                'gradient'
            )
        self._check_pixel_statistics()

    def _check_pixel_statistics(self) -> None:
        """Warns of images that are normalised otherwise than the weights want."""
        wanted = getattr(self.backbone, 'pixel_statistics', None)
        mean = getattr(self.data_preprocessor, 'mean', None)
        if wanted is None or mean is None:
            return
        given = mean, self.data_preprocessor.std
        for name, here, there in zip(('mean', 'std'), given, wanted, strict=True):
            here = here.flatten().tolist()
            if any(abs(a - b) > 1 for a, b in zip(here, there, strict=True)):
                warn(
                    f'data_preprocessor.{name}={here}, but the weights of the '
                    f'backbone want {[round(value, 3) for value in there]}'
                )

    def forward(
        self,
        inputs: Tensor,
        data_samples: OptSampleList = None,
        mode: str = 'tensor',
        input_ids: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> dict | SampleList | Tensor:
        """Run in one of MMEngine's three modes, 'loss', 'predict' or 'tensor'.

        Images are (B, 3, H, W), normalised. Data samples have an ``expression`` in
        their meta information and, for 'loss', ``gt_sem_seg``; 'tensor' mode takes
        tokens as :meth:`decode` does in their place, for export and FLOPs counting.
        The result is losses, data samples with predictions, or logits.
        """
        if mode == 'tensor' and input_ids is not None and text_mask is not None:
            return self.decode(inputs, input_ids, text_mask)
        return super().forward(inputs, data_samples, mode)

    def decode(self, inputs: Tensor, input_ids: Tensor, text_mask: Tensor) -> Tensor:
        """From tensors to logits, without tokenizer or data samples.

        Args:
            inputs: Normalised images (B, 3, H, W), or one image (1, 3, H, W) for all
                expressions.
            input_ids: Token ids (B, N).
            text_mask: Bool (B, N), True on real tokens.

        Returns:
            Logits (B, 2, H/4, W/4).
        """
        return self.decode_head(**self.extract_feat(inputs, input_ids, text_mask))

    def decode_with_presence(
        self, inputs: Tensor, input_ids: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """What :meth:`decode` gives, and the logits (B,) of a presence head."""
        features = self.extract_feat(inputs, input_ids, text_mask)
        if self.decode_head.presence is None:
            return self.decode_head(**features), None
        return self.decode_head.forward_with_presence(**features)

    def compile_network(self, **options: Any) -> None:
        """Has ``torch.compile`` make the network, :meth:`decode`, faster.

        Tokenizer, losses and what is done with the logits stay as they are. In contrast
        to MMEngine's ``compile`` key, which compiles ``train_step``, there is no graph
        break, and other numbers of tokens compile no more than once.

        Args:
            **options: Of :func:`torch.compile`, such as ``mode='reduce-overhead'`` for
                CUDA graphs, where images and sentences always have the same size
                (``text_encoder.pad_to_max``).
        """
        for name in ('decode', 'decode_with_presence'):
            setattr(self, name, torch.compile(getattr(self, name), **options))

    def extract_feat(
        self, inputs: Tensor, input_ids: Tensor, text_mask: Tensor
    ) -> dict[str, Tensor]:
        """Keyword arguments of the decode head, from those of :meth:`decode`."""
        text_mask = self.text_encoder.complete_mask(input_ids, text_mask)
        text = self.text_encoder(input_ids, text_mask)
        levels, text = self.backbone(inputs, text, text_mask)
        text, text_mask = self.text_encoder.whole_text(text, text_mask)
        if self.with_neck and getattr(self.neck, 'uses_text', False):
            levels = self.neck(levels, text, text_mask)
        elif self.with_neck:
            levels = self.neck(levels)
        return dict(inputs=levels, text=text, text_mask=text_mask)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits at the size of the input (B, 2, H, W).

        Takes images as :meth:`decode` does, and their meta information with
        ``expression`` and ``img_shape``. What a presence head says is kept for
        :meth:`postprocess_result`.
        """
        tokens = self._tokens(batch_img_metas)
        with self.autocast():
            logits, presence = self.decode_with_presence(inputs, **tokens)
        if presence is not None:
            self._keep(presence)
        return self.decode_head.predict_by_feat(logits, batch_img_metas)

    @property
    def precision(self) -> str:
        """Type of inference as results say it: 'float32', 'bf16' or 'fp16'."""
        return self.amp or 'float32'

    def describe_precision(self, asked: str | bool | None = None) -> str:
        """One line on it; what was asked for explains what isn't obvious."""
        return describe_amp(self.amp or asked, self.data_preprocessor.device)

    @contextmanager
    def running_in(self, amp: str | None) -> Iterator[None]:
        """Lets ``amp`` be another one inside of the block."""
        before, self.amp = self.amp, amp
        try:
            yield
        finally:
            self.amp = before

    def autocast(self) -> AbstractContextManager:
        """Context in which the network runs in inference, see ``amp``."""
        return autocast(self.amp, self.data_preprocessor.device)

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits of whole images, in windows if ``test_cfg`` says so."""
        self._presence.clear()
        return super().inference(inputs, batch_img_metas)

    def _keep(self, presence: Tensor) -> None:
        """Keeps the scores of logits (B,), beside those of other windows."""
        if self.test_cfg.mode != 'slide':
            self._presence.clear()
        self._presence.append(presence.float().sigmoid())

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        tokens = self._tokens([sample.metainfo for sample in data_samples])
        logits, presence = self.decode_with_presence(inputs, **tokens)
        losses = self.decode_head.loss_by_feat(logits, data_samples)  # Eq. (13)
        if presence is not None:
            losses.update(self.decode_head.presence_loss(presence, data_samples))
        return add_prefix(losses, 'decode')

    def _forward(self, inputs: Tensor, data_samples: OptSampleList = None) -> Tensor:
        if data_samples is None:
            raise ValueError(
                "mode='tensor' needs data_samples with expressions, or input_ids "
                'and text_mask'
            )
        return self._logits(inputs, [sample.metainfo for sample in data_samples])

    def _logits(self, inputs: Tensor, metas: list[dict]) -> Tensor:
        return self.decode(inputs, **self._tokens(metas))

    def _tokens(self, metas: list[dict]) -> dict[str, Tensor]:
        """Token ids and their mask, of the expressions in meta information."""
        missing = [
            m.get('img_path', i) for i, m in enumerate(metas) if 'expression' not in m
        ]
        if missing:
            raise ValueError(
                f'no expression in the meta information of {missing}: the pipeline '
                'needs ChooseExpression and PackReferringInputs; for inference there '
                'is mmcadformer.apis.ReferringInferencer'
            )
        return self.text_encoder.tokenize([meta['expression'] for meta in metas])

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: OptSampleList = None
    ) -> SampleList:
        """Add the predictions to the data samples, in place, or make new ones.

        From logits (B, 2, H, W) come ``seg_logits`` (2, H_0, W_0) and
        ``pred_sem_seg`` (1, H_0, W_0) at the original size, and ``pred_input_seg``
        (1, H, W), the mask at the network's input size that the published 480x480
        protocol is computed on. With a presence head come its ``presence_score``, the
        highest of all windows, and its ``presence_threshold``; masks stay as they are.
        """
        # In place of the host's method: argmax over two classes takes a hundred times
        # as long as comparing them, and with small models as long as all the rest.
        known = data_samples is not None
        results = data_samples if known else [SegDataSample() for _ in seg_logits]
        for sample, at_input in zip(results, seg_logits.split(1), strict=True):
            logits = at_input
            if known:
                logits = self._to_original(at_input, sample.metainfo)
            sample.set_data(
                dict(
                    seg_logits=PixelData(data=logits[0]),
                    pred_sem_seg=PixelData(data=_is_target(logits)[0].long()),
                    pred_input_seg=PixelData(data=_is_target(at_input)[0].byte()),
                )
            )
        if self.decode_head.presence is not None and self._presence:
            threshold = self.decode_head.presence.threshold
            for sample, score in zip(results, self._presence_scores(), strict=True):
                sample.set_field(score, 'presence_score')
                sample.set_field(threshold, 'presence_threshold')
        return results

    def _presence_scores(self) -> Tensor:
        """Scores (B,) of the last batch, which are then forgotten."""
        scores = torch.stack(self._presence).amax(dim=0)
        self._presence.clear()
        return scores

    def _to_original(self, logits: Tensor, meta: dict) -> Tensor:
        """Takes padding and flips back, and resizes (1, 2, H, W) to ``ori_shape``."""
        padding = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
        left, right, top, bottom = padding
        height, width = logits.shape[2:]
        logits = logits[:, :, top : height - bottom, left : width - right]
        if meta.get('flip'):
            logits = logits.flip(3 if meta['flip_direction'] == 'horizontal' else 2)
        return resize(
            logits,
            size=meta['ori_shape'],
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )


def _is_target(logits: Tensor) -> Tensor:
    """Bool (B, 1, H, W) from logits (B, 2, H, W)."""
    return logits[:, 1:] > logits[:, :1]
