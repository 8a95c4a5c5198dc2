# SPDX-License-Identifier: Apache-2.0
"""One image, many sentences: what no language has touched is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmseg.structures import SegDataSample
from torch import Tensor

from ..models import ReferringSegmentor


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
        Data samples with predictions as ``model.predict`` gives them, for the first
        image with each expression, then the next image.
    """
    if len(expressions) == 1:
        yield from _predict(model, inputs, samples, expressions)
        return
    for index, sample in enumerate(samples):
        image = inputs[index : index + 1]
        if hasattr(model.backbone, 'forward_first_stage'):
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
