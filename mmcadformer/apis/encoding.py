# SPDX-License-Identifier: Apache-2.0
"""One image, many sentences: what no language has touched is computed once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor, nn


class _AfterFirstStage(nn.Module):
    """The rest of a backbone; takes the place of the whole one."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, first, text: Tensor, text_mask: Tensor):
        """As the backbone's, from its first stage instead of from images."""
        return self.backbone.forward_stages(first, text, text_mask)


def predict_expressions(
    model: nn.Module,
    inputs: Tensor,
    samples: Sequence[SegDataSample],
    expressions: Sequence[str],
    group: int,
) -> Iterator[tuple[Sequence[str], SampleList]]:
    """Runs every expression on every image, the first stage once per image.

    Args:
        model: A referring segmentor in evaluation mode, without gradients.
        inputs: Normalised images (B, 3, H, W).
        samples: Their B data samples, as the data preprocessor gives them.
        expressions: Sentences for all images.
        group: How many sentences go through the later stages together.

    Yields:
        Up to ``group`` sentences, and for each image one after the other the data
        samples with their predictions, as ``model.predict`` gives them.
    """
    shares = hasattr(model.backbone, 'forward_first_stage')
    encoded, rest = inputs, model
    if shares:
        encoded = model.backbone.forward_first_stage(inputs)
        rest = copy.copy(model)
        rest._modules = dict(model._modules, backbone=_AfterFirstStage(model.backbone))
    for i in range(0, len(expressions), group):
        part = expressions[i : i + group]
        if shares:
            repeated = encoded.repeat(len(part))
        else:
            repeated = encoded.repeat_interleave(len(part), dim=0)
        pairs = [
            SegDataSample(metainfo=dict(sample.metainfo, expression=expression))
            for sample in samples
            for expression in part
        ]
        logits = rest.encode_decode(repeated, [pair.metainfo for pair in pairs])
        yield part, model.postprocess_result(logits, pairs)
