# SPDX-License-Identifier: Apache-2.0
"""Which models the page is to have, found without loading one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..utils.files import is_exported

QUICKSTART_CONFIG = 'configs/cadformer_tiny_synthrs.py'
QUICKSTART_WEIGHTS = 'work_dirs/quickstart/train'
REPO = Path(__file__).resolve().parents[2]


class ModelSource(NamedTuple):
    """Where a model of the page comes from.

    Attributes:
        config: Its file, or the name of a released model.
        checkpoint: Its weights, in the form of this package; or an exported file,
            which may stand for the config, too.
        chosen: Whether it answers as long as a visitor chooses no other.
        note: What visitors are to know of it.
    """

    config: str
    checkpoint: str
    chosen: bool = True
    note: str = ''


def choose_models(
    config: str | None,
    checkpoint: str | None,
    compare: Sequence[Sequence[str]],
    released: Sequence[ModelSource] = (),
) -> list[ModelSource]:
    """The models of the command line, or that of the quickstart.

    The first one and those to compare with are chosen; other released models are
    there to be chosen.
    """
    if is_exported(config):
        checkpoint = checkpoint or config  # the file stands for both
    if config is not None and checkpoint is None:
        raise ValueError(f'give a checkpoint with the config {config}')
    models = [] if config is None else [ModelSource(config, str(checkpoint))]
    models += released
    if not models:
        models.append(ModelSource(*find_quickstart()))
    models = [model._replace(chosen=not at) for at, model in enumerate(models)]
    others = [ModelSource(config, checkpoint) for config, checkpoint in compare]
    return [*models, *others]


def open_released(
    models: Sequence[str], weights: str | None = None
) -> list[ModelSource]:
    """Released models of the command line, downloaded and converted if need be.

    Args:
        models: ``NAME`` or ``NAME=FILE``.
        weights: The file, where there is one model.

    Raises:
        FileNotFoundError, ValueError: See :func:`~..apis.model_zoo.open_model`.
    """
    if weights is not None and len(models) != 1:
        raise ValueError(
            '--weights is the file of one --model; for several: --model NAME=FILE'
        )
    from ..apis.model_zoo import find_model, open_model

    sources = []
    for text in models:
        name, _, file = text.partition('=')
        model = find_model(name)
        path = open_model(name, file or weights)[1]
        note = f'{name}: {model.about} ({model.page}). Licence: {model.licence}.'
        sources.append(ModelSource(name, str(path), note=note))
    return sources


def find_quickstart(roots: Sequence[Path] | None = None) -> tuple[str, str]:
    """The quickstart's config and best checkpoint, from here or from the checkout."""
    for root in roots or (Path.cwd(), REPO):
        config = root / QUICKSTART_CONFIG
        found = list((root / QUICKSTART_WEIGHTS).glob('best_oIoU_*.pth'))
        if config.is_file() and found:
            newest = max(found, key=lambda path: path.stat().st_mtime)
            return str(config), str(newest)
    raise ValueError(
        'no config and checkpoint are given, and there is no result of the quickstart '
        f'in {QUICKSTART_WEIGHTS}. Run it first, it takes some minutes: '
        'bash tools/quickstart.sh'
    )
