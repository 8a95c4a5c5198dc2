# SPDX-License-Identifier: Apache-2.0
"""The models of the page, and what they find."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..apis import ReferringInferencer, ReferringResult
from ..utils.files import is_exported
from .sources import ModelSource
from .uploads import Picture


@dataclass(frozen=True)
class NamedModel:
    """A model under the name that the page shows, unlike the others' names."""

    name: str
    inferencer: ReferringInferencer
    chosen: bool = True
    note: str = ''


@dataclass(frozen=True)
class Finding:
    """What one model found for one sentence."""

    model: str  # its name
    result: ReferringResult
    seconds: float  # that the model took for all sentences on the picture
    sentences: int  # how many these were


def load_models(
    sources: Sequence[ModelSource],
    device: str | None = None,
    names: Sequence[str] | None = None,
    amp: str | None = None,
    runtime: str | None = None,
) -> list[NamedModel]:
    """Loads models.

    By default their names are those of the configs or, if these agree, of the
    checkpoints, too. ``amp`` is that of :class:`ReferringInferencer`, and so is
    ``runtime``, for the exported files among them.
    """
    names = _unlike_names(sources) if names is None else names
    if len(names) != len(sources) or len(set(names)) != len(sources):
        raise ValueError(
            f'names {list(names)}: give {len(sources)}, one per model and all different'
        )
    return [
        NamedModel(
            name,
            ReferringInferencer(
                source.config,
                source.checkpoint,
                device=device,
                amp=amp,
                runtime=runtime if is_exported(source.checkpoint) else None,
            ),
            source.chosen,
            source.note,
        )
        for name, source in zip(names, sources, strict=True)
    ]


def _unlike_names(sources: Sequence[ModelSource]) -> list[str]:
    """Names of the configs with as much of the checkpoints' as tells them apart."""
    paths = [(Path(source.config).stem, Path(source.checkpoint)) for source in sources]
    for names in (
        [config for config, _ in paths],
        [f'{config} {weights.stem}' for config, weights in paths],
        [f'{config} {weights.parent.name}/{weights.stem}' for config, weights in paths],
    ):
        if len(set(names)) == len(names):
            return names
    return [f'{number}: {name}' for number, name in enumerate(names, start=1)]


def find(
    model: NamedModel, picture: Picture, sentences: Sequence[str]
) -> Iterator[Finding]:
    """Segments what sentences name, together: the picture's own part runs once."""
    begin = time.perf_counter()
    results = model.inferencer(picture.rgb, sentences)
    seconds = time.perf_counter() - begin
    for result in results:
        yield Finding(
            model.name,
            _without_missing(result, picture.valid),
            seconds,
            len(sentences),
        )


def _without_missing(
    result: ReferringResult, valid: np.ndarray | None
) -> ReferringResult:
    """Nothing is found where the picture has no data."""
    if valid is None:
        return result
    mask = result.mask & valid
    probability = np.where(valid, result.probability, np.float32(0))
    score = float(probability[mask].mean()) if mask.any() else 0.0
    return replace(result, mask=mask, probability=probability, score=score)
