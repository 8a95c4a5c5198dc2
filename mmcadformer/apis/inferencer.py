# SPDX-License-Identifier: Apache-2.0
"""From image and sentence to mask."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..evaluation.presence import SCORE, THRESHOLD, Decision, decide
from ..models import ReferringSegmentor
from ..utils.config import inference_pipeline
from ..utils.precision import choose_amp
from ..utils.text import visible_text
from .explanation import Explanation, record_attention
from .loading import init_model
from .result import ReferringResult
from .runtimes import ExportedSegmentor

_CPU_PIXELS = 480 * 480  # input pixels that go through the later stages at once

ImageInput = str | os.PathLike | np.ndarray
Pair = tuple[ImageInput, str]
OnBad = Callable[[ImageInput, str, Exception], None]


class ReferringInferencer:
    """Finds what sentences name in images.

    Example::

        inferencer = ReferringInferencer(CONFIG, CHECKPOINT)
        result, = inferencer('scene.png', 'the pool left of the tennis court')
        result.save('out', 'pool')

    Args:
        config, checkpoint, device, cfg_options, weights, runtime: See
            :func:`init_model`.
        batch_size: Pairs that go through the model at once.
        expression_batch_size: Expressions on one image, one after the other in the
            input, that share what the image alone decides: it is decoded once for
            all of them, and its first stage runs once per batch. GPUs take the batch
            at once, CPUs as many as make up 480 x 480 pixels.
        amp: 'bf16' or 'fp16' for automatic mixed precision; 'auto' or True for
            bfloat16 where the device has it, see :func:`choose_amp`. By default that
            of the config's ``model.test_cfg.amp``, which is float32 if not given.
        compile: Have ``torch.compile`` make the network faster, which takes a minute
            or more at the first images and needs a C++ compiler.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config | None,
        checkpoint: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 1,
        cfg_options: dict | None = None,
        expression_batch_size: int = 8,
        reading: dict | None = None,
        weights: str | os.PathLike | None = None,
        amp: str | bool | None = None,
        compile: bool = False,
        runtime: str | None = None,
    ) -> None:
        if batch_size < 1 or expression_batch_size < 1:
            raise ValueError(
                'batch_size and expression_batch_size must be 1 or more, not '
                f'{batch_size} and {expression_batch_size}'
            )
        self.batch_size = batch_size
        self.expression_batch_size = expression_batch_size
        self._last_file: tuple[str, dict] | None = None
        self.model = init_model(
            config, checkpoint, device, cfg_options, weights, runtime
        )
        self._asked_amp = amp
        if amp is not None:
            self.model.amp = choose_amp(amp, self._device)
        if compile:
            self.model.compile_network()
        load, *others = map(TRANSFORMS.build, inference_pipeline(self.model.cfg))
        if reading:
            if not hasattr(load, 'reading'):
                raise ValueError(
                    f'{reading}: how pictures are read can only be chosen where the '
                    'test pipeline begins with WholeLoadImageFromFile, not '
                    f'{type(load).__name__}'
                )
            load.reading = {**load.reading, **reading}
        self._load_file, self._prepare = load, Compose(others)
        self._load_array = TRANSFORMS.build(dict(type='LoadImageFromNDArray'))

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput] | Sequence[Pair],
        expressions: str | Sequence[str] | None = None,
    ) -> list[ReferringResult]:
        """Segments each pair of an image and an expression.

        Args:
            images: Paths or RGB uint8 arrays (H, W, 3); or pairs of an image and
                an expression.
            expressions: One sentence for all images, many for one image, or one
                per image; None if ``images`` are pairs.

        Raises:
            FileNotFoundError: If an image doesn't exist.
            ValueError: If an image can't be read, an expression is empty, or the
                numbers don't match.
        """
        return list(self.predict(pair_inputs(images, expressions)))

    @property
    def precision(self) -> str:
        """One line on the type that the network runs in."""
        return self.model.describe_precision(self._asked_amp)

    @property
    def _device(self) -> torch.device:
        return self.model.data_preprocessor.device

    def explain(self, image: ImageInput, expression: str) -> Explanation:
        """Segments, and tells which word pulled which region.

        Raises:
            FileNotFoundError: If the image doesn't exist.
            ValueError: If the image can't be read, the expression is empty, or the
                model has no attention between words and pixels.
        """
        self.check_explains()
        words = self.model.text_encoder.split_words(visible_text(expression))
        with record_attention(self.model, words) as stages:
            (result,) = self(image, expression)
        return Explanation(result, [word for word, _ in words], stages)

    def check_explains(self) -> None:
        """ValueError if there is nothing inside of the model to explain results by."""
        if isinstance(self.model, ExportedSegmentor):
            raise ValueError(
                f'{self.model.runtime.path} is exported, and shows no attention: to '
                'explain results (--explain), give config and checkpoint'
            )

    def predict(
        self, pairs: Iterable[Pair], on_bad: OnBad | None = None
    ) -> Iterator[ReferringResult]:
        """Segments pairs one batch after the other, for more than fit in memory.

        Pairs that can't be used go to ``on_bad`` (image, expression, error), without
        which the error is raised.
        """
        self._last_file = None  # it may have changed since
        batch: list[dict] = []
        for image, expression in pairs:
            try:
                item = self._read(image, expression)
            except (FileNotFoundError, ValueError) as error:
                if on_bad is None:
                    yield from self._segment(batch)
                    raise
                on_bad(image, expression, error)
                continue
            if not self._joins(batch, item):
                yield from self._segment(batch)
                batch = []
            batch.append(item)
        yield from self._segment(batch)

    def _joins(self, batch: list[dict], item: dict) -> bool:
        """Whether an item can go through the model together with a batch."""
        if not batch:
            return True
        first, inputs = batch[0]['inputs'], item['inputs']
        if first.shape != inputs.shape:
            return False
        one, other = (entry['data_samples'].ori_shape for entry in (batch[0], item))
        if tuple(one) == tuple(other) and torch.equal(first, inputs):
            item['inputs'] = first  # what _one_image looks for
            return len(batch) < self.expression_batch_size and _one_image(batch)
        return len(batch) < self.batch_size and not _one_image(batch[:2], at_least=2)

    def _read(self, image: ImageInput, expression: str) -> dict:
        sentence = visible_text(expression)
        if not sentence:
            raise ValueError(
                f'expression for {_name(image)} is empty or no text: {expression!r}'
            )
        if isinstance(image, np.ndarray):
            _check_array(image)
            loaded = self._load_array(dict(img=mmcv.rgb2bgr(image), img_path=None))
            loaded['img_path'] = ''
        else:
            loaded = self._read_file(os.fspath(image))
        original = loaded['img']
        if original.ndim != 3 or original.shape[2] != 3:
            raise ValueError(
                f'{_name(image)} must have three channels, its shape is '
                f'{original.shape}'
            )
        prepared = self._prepare({**loaded, 'expression': sentence})
        prepared['image'] = mmcv.bgr2rgb(original.astype(np.uint8))
        prepared['valid'] = loaded.get('img_valid')
        prepared['notes'] = loaded.get('img_notes', ())
        return prepared

    def _read_file(self, path: str) -> dict:
        """The decoded file, kept for the next expression on it."""
        if self._last_file is None or self._last_file[0] != path:
            if '://' not in path and not os.path.isfile(path):
                raise FileNotFoundError(f'image {path} does not exist')
            try:
                self._last_file = (path, self._load_file(dict(img_path=path)))
            except ValueError:
                raise
            except Exception as error:  # a loader of someone's own raises anything
                raise ValueError(
                    f'{path} is not an image that can be read: {error}'
                ) from error
        loaded = self._last_file[1]
        # Transforms may draw on the picture.
        return dict(loaded, img=loaded['img'].copy())

    @torch.no_grad()
    def _segment(self, batch: list[dict]) -> Iterator[ReferringResult]:
        if not batch:
            return
        data = self.model.data_preprocessor(
            dict(
                inputs=[item['inputs'] for item in batch],
                data_samples=[item['data_samples'] for item in batch],
            )
        )
        inputs, samples = data['inputs'], data['data_samples']
        if _one_image(batch, at_least=2):
            expressions = [sample.expression for sample in samples]
            found = predict_expressions(
                self.model, inputs[:1], samples[:1], expressions, _pairs_at_once(inputs)
            )
        else:
            found = self.model(inputs, samples, mode='predict')
        for item, sample in zip(batch, found, strict=True):
            probability = sample.seg_logits.data.float().softmax(dim=0)[1]
            mask = sample.pred_sem_seg.data[0] == 1
            if item['valid'] is not None:  # nothing is found where there is no data
                valid = torch.from_numpy(np.ascontiguousarray(item['valid'])).to(mask)
                mask, probability = mask & valid, probability * valid
            presence = _presence(sample)
            if presence is not None and not presence.found:
                mask = torch.zeros_like(mask)
            score = float(probability[mask].mean()) if mask.any() else 0.0
            yield ReferringResult(
                expression=sample.expression,
                mask=mask.cpu().numpy(),
                probability=probability.cpu().numpy(),
                score=score,
                image=item['image'],
                image_path=item['data_samples'].img_path or None,
                notes=item['notes'],
                read=self.model.text_encoder.read_part(sample.expression),
                precision=self.model.precision,
                presence=presence,
            )


def _presence(sample: SegDataSample) -> Decision | None:
    """What a model's presence head decided; None without one."""
    if SCORE not in sample:
        return None
    return decide({key: sample.get(key) for key in (SCORE, THRESHOLD)})


def _pairs_at_once(inputs: Tensor) -> int:
    """How many expressions on one image go through the later stages together."""
    if inputs.device.type != 'cpu':
        return len(inputs)
    # Larger maps leave a CPU's caches, and its cores are busy without them.
    return max(1, _CPU_PIXELS // (inputs.shape[2] * inputs.shape[3]))


def _one_image(batch: list[dict], at_least: int = 1) -> bool:
    """Whether all items of a batch, and so many of them, are of one image."""
    first = batch[0]['inputs']
    return len(batch) >= at_least and all(item['inputs'] is first for item in batch)


def pair_inputs(
    images: ImageInput | Sequence[ImageInput] | Sequence[Pair],
    expressions: str | Sequence[str] | None = None,
) -> list[Pair]:
    """Pairs images with expressions, see :meth:`ReferringInferencer.__call__`.

    Raises:
        ValueError: If the numbers don't match or something is missing.
    """
    given: list[Any]
    if isinstance(images, str | os.PathLike | np.ndarray):
        given = [images]
    else:
        given = list(images)
    if not given:
        raise ValueError('no image is given')
    if expressions is None:
        if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in given):
            raise ValueError(
                'no expression is given: pass them, or pairs of an image and an '
                'expression'
            )
        return [(image, expression) for image, expression in given]
    if isinstance(expressions, str):
        return [(image, expressions) for image in given]
    count = len(expressions)
    if not count:
        raise ValueError('no expression is given')
    if len(given) == 1:
        given = given * count
    if len(given) != count:
        raise ValueError(
            f'{len(given)} images but {count} expression{"s" * (count != 1)}: give one '
            'expression per image, one sentence (a str) for all, or one image'
        )
    return list(zip(given, expressions, strict=True))


def _check_array(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f'an image array must be RGB uint8 (H, W, 3), not {image.dtype} '
            f'{image.shape}'
        )
    if not image.size:
        raise ValueError(f'an image array has no pixels, its shape is {image.shape}')


def _name(image: ImageInput) -> str:
    return 'an array' if isinstance(image, np.ndarray) else os.fspath(image)


def predict_expressions(
    model: ReferringSegmentor,
    inputs: Tensor,
    samples: Sequence[SegDataSample],
    expressions: Sequence[str],
    pairs: int,
) -> Iterator[SegDataSample]:
    """Runs every expression on every image, the first stage once per image.

    Args:
        model: A referring segmentor in evaluation mode, without gradients.
        inputs: Normalised images (B, 3, H, W).
        samples: Their B data samples, as the data preprocessor gives them.
        expressions: Sentences for all images.
        pairs: The most pairs of image and expression that go through the later
            stages together. One expression takes all images at once.

    Yields:
        What ``model.predict`` gives, for each image in turn with each expression.
    """
    if len(expressions) == 1:
        yield from _predict(model, inputs, samples, expressions)
        return
    for index, sample in enumerate(samples):
        image = inputs[index : index + 1]
        if hasattr(model.backbone, 'forward_first_stage'):
            with model.autocast():
                image = model.backbone.forward_first_stage(image)
        for i in range(0, len(expressions), pairs):
            yield from _predict(model, image, [sample], expressions[i : i + pairs])


def _predict(
    model: ReferringSegmentor,
    inputs: Any,
    samples: Sequence[SegDataSample],
    expressions: Sequence[str],
) -> list[SegDataSample]:
    """One image with several expressions, or several images with one."""
    targets = [
        SegDataSample(metainfo=dict(sample.metainfo, expression=expression))
        for sample in samples
        for expression in expressions
    ]
    logits = model.encode_decode(inputs, [target.metainfo for target in targets])
    return model.postprocess_result(logits, targets)
