# SPDX-License-Identifier: Apache-2.0
"""Evaluation of predicted masks, with neither their model nor its code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from ..datasets.mask_files import MaskFiles
from ..engine import find_metric
from ..evaluation import PROTOCOLS, Protocol, find_protocol
from ..utils.progress import progress_bar
from .predicted_masks import (
    PATTERN,
    Expression,
    PredictedMask,
    PredictedMasks,
    describe,
    find_masks,
)

_SHOWN = 5  # faults that a message lists


@dataclass
class MaskEvaluation:
    """Scores of predicted masks.

    Args:
        metrics: Percentages, as ``tools/test.py`` gives them.
        protocol: By which they were computed.
        notes: What a reader of the scores should know.
    """

    metrics: dict[str, float]
    protocol: Protocol
    notes: dict[str, str] = field(default_factory=dict)


def evaluate_masks(
    cfg: Config,
    source: str | Path,
    output_file: str | Path,
    protocol: str | None = None,
    missing_are_empty: bool = False,
    pattern: str = PATTERN,
    files: MaskFiles | None = None,
    save_rle: bool = False,
    progress: bool = True,
) -> MaskEvaluation:
    """Evaluates masks of any model on the test data of a config.

    Truth comes from the config's test loader, and scores from its metric, so that they
    are those which ``tools/test.py`` gives for the same masks.

    Args:
        cfg: With ``test_dataloader`` and ``test_evaluator``.
        source, pattern, files: See :func:`find_masks`.
        output_file: Gets one line of JSON per expression, for ``load_methods``.
        protocol: 'exact' for masks of the images' own size, 'released' for masks of
            the network's input size; None takes that which the masks fit, 'exact' if
            the sizes are the same.
        missing_are_empty: An expression without a mask counts as an empty prediction,
            in place of an error.
        save_rle: Write the masks, too.
        progress: Show a bar.

    Raises:
        FileNotFoundError: There are no such masks, or data are missing.
        ValueError: Masks are missing, doubled, damaged or of another size; they are
            named.
    """
    metric_cfg = find_metric(cfg, 'evaluate_masks.py')
    loader = _build_loader(cfg)
    expressions = _expressions(loader)
    masks = find_masks(source, expressions, pattern, files)
    notes = _check_complete(source, masks, expressions, missing_are_empty)
    chosen = _choose_protocol(loader, masks, protocol)
    metric = METRICS.build(
        {
            **{key: metric_cfg[key] for key in metric_cfg if key != 'eval_size'},
            'protocol': chosen.name,
            'output_file': str(output_file),
            'save_rle': save_rle,
        }
    )
    wrong = []
    samples = progress_bar(_samples(loader), len(expressions), show=progress)
    for index, sample in enumerate(samples):
        mask = masks.found.get(index)
        try:
            pred = _read(mask, _expected_size(sample, chosen))
        except ValueError as error:
            wrong.append(f'{describe(expressions[index])}: {error}')
            continue
        data = PixelData(data=torch.from_numpy(pred)[None])
        sample.set_data({chosen.pred_key: data})
        metric.process(None, [sample.to_dict()])
    if wrong:
        raise ValueError(
            f'{len(wrong)} of {len(expressions)} masks can not be evaluated by the '
            f'protocol {chosen.name!r}: {_listed(wrong)}'
        )
    return MaskEvaluation(metric.evaluate(len(expressions)), chosen, notes)


def _build_loader(cfg: Config) -> DataLoader:
    """The test loader, in the order of the data and to the last expression."""
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    settings = dict(
        cfg.test_dataloader,
        sampler=dict(type='DefaultSampler', shuffle=False),
        drop_last=False,
    )
    if not settings.get('num_workers'):
        settings['persistent_workers'] = False
        settings.pop('prefetch_factor', None)
    return Runner.build_dataloader(settings)


def _expressions(loader: DataLoader) -> list[Expression]:
    dataset: Any = loader.dataset
    records = (dataset.get_data_info(index) for index in range(len(dataset)))
    return [
        dict(
            record,
            expression=record['expressions'][0],
            sent_id=record['sent_ids'][0],
        )
        for record in records
    ]


def _samples(loader: DataLoader) -> Iterator[SegDataSample]:
    """Data samples with the truth, in the order of the data set."""
    try:
        for batch in loader:
            yield from batch['data_samples']
    except (FileNotFoundError, ValueError) as error:
        # That of a worker holds its whole traceback as text.
        message = str(error).rpartition(f'\n{type(error).__name__}: ')[2]
        raise type(error)(message.strip()) from None


def _check_complete(
    source: str | Path,
    masks: PredictedMasks,
    expressions: Sequence[Expression],
    missing_are_empty: bool,
) -> dict[str, str]:
    """Refuses missing and doubled masks; returns notes of what is let pass."""
    notes = {}
    if masks.doubled:
        raise ValueError(
            f'{len(masks.doubled)} masks are for expressions that have one already: '
            f'{_listed(masks.doubled)}'
        )
    if not masks.found:
        raise ValueError(
            f'{source}: none of its {len(masks.strange)} masks is for an expression of '
            f'this split: {_listed(masks.strange)}'
        )
    missing = [describe(e) for i, e in enumerate(expressions) if i not in masks.found]
    if missing and not missing_are_empty:
        raise ValueError(
            f'{source} lacks masks of {len(missing)} of {len(expressions)} '
            f'expressions: {_listed(missing)}. If a model leaves out what it finds '
            'empty, say --missing empty'
        )
    if missing:
        notes['missing masks, counted as empty'] = f'{len(missing)}: {_listed(missing)}'
    if masks.strange:
        strange = _listed(masks.strange)
        notes['masks of no expression, left out'] = f'{len(masks.strange)}: {strange}'
    return notes


def _choose_protocol(
    loader: DataLoader, masks: PredictedMasks, asked: str | None
) -> Protocol:
    """The protocol that the first mask fits; ValueError if it isn't the one asked."""
    index = min(masks.found)
    mask = masks.found[index]
    sample = loader.dataset[index]['data_samples']
    height, width = _decoded(mask).shape
    sizes = {p.name: _expected_size(sample, p) for p in PROTOCOLS.values()}
    fitting = [name for name, size in sizes.items() if size == (height, width)]
    if asked is None and masks.protocol in fitting:
        asked = masks.protocol
    if fitting and (asked is None or asked in fitting):
        return find_protocol(asked or fitting[0])
    needs = ' and '.join(
        f'protocol {name!r} needs {size[1]} x {size[0]} px, {place}'
        for (name, size), place in zip(
            sizes.items(),
            ("the image's own size", "the network's input size"),
            strict=True,
        )
        if asked in (None, name)
    )
    hint = f': it fits protocol {fitting[0]!r}' if fitting else ''
    raise ValueError(f'{mask.source} has {width} x {height} px{hint}, but {needs}')


def _expected_size(sample: SegDataSample, protocol: Protocol) -> tuple[int, int]:
    """Height and width that a mask of the sample must have."""
    shape = sample.img_shape if protocol.input_size else sample.ori_shape
    return int(shape[0]), int(shape[1])


def _read(mask: PredictedMask | None, size: tuple[int, int]) -> np.ndarray:
    """Mask of the given size, uint8 (H, W); empty where there is none."""
    if mask is None:
        return np.zeros(size, np.uint8)
    pred = _decoded(mask)
    if pred.shape != size:
        height, width = pred.shape
        raise ValueError(
            f'{mask.source} has {width} x {height} px, not {size[1]} x {size[0]}'
        )
    return pred


def _decoded(mask: PredictedMask) -> np.ndarray:
    try:
        return np.ascontiguousarray(mask.read())
    except ValueError as error:
        text = str(error)
        place = '' if text.startswith(mask.source) else f'{mask.source}: '
        raise ValueError(f'{place}{text}') from None


def _listed(faults: Sequence[str]) -> str:
    shown = '; '.join(faults[:_SHOWN])
    more = len(faults) - _SHOWN
    return f'{shown} and {more} more' if more > 0 else shown
