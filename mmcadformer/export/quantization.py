# SPDX-License-Identifier: Apache-2.0
"""Weights and activations in 8 bits, by NNCF, from examples of what comes."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config
from mmseg.models.utils import resize
from mmseg.registry import DATASETS, TRANSFORMS
from torch import Tensor

from ..apis.runtimes import import_openvino
from ..models import ReferringSegmentor
from ..utils.config import find_loader, inference_pipeline, leaf_datasets
from .exportable import read_sentences

SENSITIVE = (r'backbone\.fusions\.0(?!\d)',)
"""Layers that cost much in 8 bits (docs/export.md): the finest stage's fusion."""

Sample = tuple[Tensor, str]  # a picture, RGB uint8 (3, H, W), and a sentence


@dataclass(frozen=True)
class Quantization:
    """How a model gets numbers of 8 bits.

    Args:
        samples: Pictures and sentences: the range of each layer's numbers is taken
            from them.
        keep_float: Regular expressions; layers whose names have a match stay in float.
            By default those of ``SENSITIVE``, where the model has them.
    """

    samples: Sequence[Sample]
    keep_float: tuple[str, ...] | None = None


def draw_samples(cfg: Config, count: int) -> list[Sample]:
    """Pictures and sentences from all over the training set, prepared as for a test.

    Args:
        cfg: With a ``train_dataloader``, whose data are there.
        count: How many pairs, at most.

    Raises:
        FileNotFoundError, ValueError: The config has no training data, or they can't
            be read.
    """
    dataset = find_loader(cfg, 'train').get('dataset')
    if not dataset:
        raise ValueError(
            'the config has no train_dataloader.dataset: 8 bits need pictures and '
            'sentences of the training set'
        )
    records: list[dict] = []
    for _, config in leaf_datasets(dataset):
        data = DATASETS.build(dict(config, test_mode=True, pipeline=[]))
        records += [data.get_data_info(index) for index in range(len(data))]
    chosen = np.linspace(0, len(records) - 1, min(count, len(records)), dtype=int)
    prepare = Compose([TRANSFORMS.build(step) for step in inference_pipeline(cfg)])
    samples = []
    for record in (records[index] for index in chosen):
        sentence = record['expressions'][0]
        item = prepare(dict(img_path=record['img_path'], expression=sentence))
        samples.append((item['inputs'].flip(0), sentence))  # which is BGR
    return samples


def check_nncf() -> None:
    """ImportError where NNCF isn't installed."""
    import_openvino()  # before NNCF, which would report its use, too
    if importlib.util.find_spec('nncf') is None:
        raise ImportError("8 bits need NNCF: pip install -e '.[openvino]'")


def quantize(
    found: Any,
    how: Quantization,
    model: ReferringSegmentor,
    shape: tuple[int, int],
) -> Any:
    """A model of OpenVINO with weights and activations in 8 bits.

    Ranges and sums over the samples are kept, so that their number costs time alone.

    Args:
        found: In float32, with fixed shapes.
        how: Samples, and what stays in float.
        model: What it was made from.
        shape: Height and width of the images that it takes.

    Raises:
        ValueError: A pattern matches no layer.
    """
    import nncf

    nncf.set_log_level(logging.ERROR)
    samples = how.samples
    try:
        return nncf.quantize(
            found,
            nncf.Dataset(samples, partial(_feed, model, shape)),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(samples),
            ignored_scope=nncf.IgnoredScope(
                patterns=[f'.*(?:{pattern}).*' for pattern in _kept(how, model)]
            ),
        )
    except nncf.ValidationError as error:
        raise ValueError(
            f'layers that stay in float: {" ".join(str(error).split())[:300]}'
        ) from error


def _kept(how: Quantization, model: ReferringSegmentor) -> tuple[str, ...]:
    """Patterns of what stays in float."""
    if how.keep_float is not None:
        return how.keep_float
    names = [name for name, _ in model.named_modules()]
    return tuple(p for p in SENSITIVE if any(re.search(p, name) for name in names))


def _feed(
    model: ReferringSegmentor, shape: tuple[int, int], sample: Sample
) -> list[np.ndarray]:
    """What the exported model is given."""
    image = sample[0][None].float()
    if image.shape[2:] != shape:
        image = resize(image, shape, mode='bilinear', warning=False).round()
    tokens = read_sentences(model, [sample[1]], fill_up=True)
    return [tensor.numpy() for tensor in (image, *tokens)]
