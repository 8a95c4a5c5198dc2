# SPDX-License-Identifier: Apache-2.0
"""The part of scene inference that looks at pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample

from ..apis import predict_expressions
from ..evaluation.presence import SCORE
from ..models import ReferringSegmentor
from ..utils.checkpoint import weights_digest
from ..utils.config import find_reading, inference_pipeline
from ..utils.log import warn
from ..utils.precision import choose_amp


class TileNetwork(Protocol):
    """Anything that says where on a picture an expression's object is."""

    fill: tuple[int, int, int]  # RGB that stands for pixels without data
    pairs: int  # how many pairs of tile and expression it takes at once

    def __call__(
        self, tiles: Sequence[np.ndarray], expressions: Sequence[str]
    ) -> np.ndarray:
        """Probabilities, float32 (tiles, expressions, H, W), 0...1.

        All tiles are RGB uint8 (H, W, 3); each sentence is for all of them.
        """

    def fingerprint(self) -> str:
        """Differs between networks that answer differently."""


class ModelNetwork:
    """A trained model as a :class:`TileNetwork`.

    A tile goes through the test pipeline of the model's config, so it is resized to
    the size that the model was trained with.

    Args:
        model: From :func:`~mmcadformer.apis.init_model`.
        pairs: How many pairs of tile and expression go through the model at once.
        amp: 'bf16' or 'fp16' for automatic mixed precision, 'auto' for bfloat16 where
            the device has it, None for none.
    """

    def __init__(
        self, model: ReferringSegmentor, pairs: int = 4, amp: str | None = None
    ) -> None:
        if pairs < 1:
            raise ValueError(f'batch size must be 1 or more, not {pairs}')
        self.device = model.data_preprocessor.device
        self.amp = choose_amp(amp, self.device) or model.amp
        with model.running_in(self.amp):
            self.precision = model.precision
            self.precision_note = model.describe_precision(amp)
        self.model = model
        self.pairs = pairs
        self.fill = _mean_color(model)
        # Of the presence head, for the tiles of the last call; None without one.
        self.scores: np.ndarray | None = None
        pipeline = inference_pipeline(model.cfg)[1:]
        self.reading = find_reading(model.cfg)
        self._load = TRANSFORMS.build(dict(type='LoadImageFromNDArray'))
        self._prepare = Compose([TRANSFORMS.build(step) for step in pipeline])
        self._warned: set[str] = set()

    @torch.inference_mode()
    def __call__(
        self, tiles: Sequence[np.ndarray], expressions: Sequence[str]
    ) -> np.ndarray:
        items = [self._prepared(tile, expressions[0]) for tile in tiles]
        keys = ('inputs', 'data_samples')
        data = self.model.data_preprocessor(
            {key: [item[key] for item in items] for key in keys}, False
        )
        self._warn_of_truncation(expressions)
        with self.model.running_in(self.amp):
            inputs, samples = (data[key] for key in keys)
            found = predict_expressions(
                self.model, inputs, samples, expressions, self.pairs
            )
            results = list(found)
        shape = len(tiles), len(expressions)
        if self.threshold is not None:
            scores = np.array([float(sample.get(SCORE)) for sample in results])
            self.scores = scores.reshape(shape)
        maps = np.stack([_probability(sample) for sample in results])
        return maps.reshape(*shape, *maps.shape[1:])

    @property
    def threshold(self) -> float | None:
        """From which score on the presence head sees the object; None without one."""
        head = getattr(self.model.decode_head, 'presence', None)
        return None if head is None else float(head.threshold)

    def fingerprint(self) -> str:
        """Hash of weights, test pipeline and precision."""
        digest = weights_digest(self.model.state_dict())
        config = (inference_pipeline(self.model.cfg), self.model.test_cfg, self.amp)
        digest.update(str(config).encode())
        return digest.hexdigest()

    def _prepared(self, tile: np.ndarray, expression: str) -> dict:
        loaded = self._load(dict(img=mmcv.rgb2bgr(tile), img_path=None))
        loaded['img_path'] = ''
        return self._prepare(dict(loaded, expression=expression))

    def _warn_of_truncation(self, expressions: Sequence[str]) -> None:
        """Says once which sentences are longer than the model reads."""
        encoder = self.model.text_encoder
        for expression in set(expressions) - self._warned:
            before = encoder.num_truncated
            encoder.tokenize([expression])
            self._warned.add(expression)
            if encoder.num_truncated > before:
                warn(
                    f'expression {expression[:60]!r} ({len(expression)} characters) '
                    f'is longer than the {encoder.max_tokens} tokens that the model '
                    'reads: the rest is left out'
                )


def _probability(sample: SegDataSample) -> np.ndarray:
    return sample.seg_logits.data.float().softmax(dim=0)[1].cpu().numpy()


def _mean_color(model: ReferringSegmentor) -> tuple[int, int, int]:
    """The colour that becomes zero when the model normalises it."""
    mean = getattr(model.data_preprocessor, 'mean', None)
    if mean is None or mean.numel() != 3:
        return 0, 0, 0
    red, green, blue = map(round, mean.flatten().tolist())
    return red, green, blue
