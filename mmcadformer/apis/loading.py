# SPDX-License-Identifier: Apache-2.0
"""Models from configs, and weights from files into models."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from ..models import ReferringSegmentor
from ..models.layers.adapters import add_base
from ..utils.checkpoint import read_checkpoint
from ..utils.config import building, read_config
from ..utils.files import EXPORTED, is_exported
from ..utils.log import warn
from .model_zoo import is_model_name, open_model, released_config
from .runtimes import ExportedSegmentor, open_exported


def init_model(
    config: str | os.PathLike | Config | None,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device | None = None,
    cfg_options: dict | None = None,
    weights: str | os.PathLike | None = None,
    runtime: str | None = None,
) -> ReferringSegmentor:
    """Builds a model for inference.

    Args:
        config: Config or its file; or the name of a released model, which brings its
            weights along, see :func:`~.model_zoo.list_models`; or an exported file,
            which needs no checkpoint.
        checkpoint: See :func:`load_checkpoint`. Without, a config's weights are
            random: pretrained parts that it names aren't loaded. Or an exported file,
            which needs no config.
        device: 'cpu', 'cuda', 'cuda:1'...; by default CUDA where there is one.
        cfg_options: Config keys to override, dotted.
        weights: A released model's file, as its authors publish it, in place of a
            download.
        runtime: What runs an exported file, see :func:`~.runtimes.open_exported`.

    Returns:
        The model in evaluation mode, with the config as ``model.cfg``.

    Raises:
        FileNotFoundError: If config or checkpoint don't exist.
        ImportError: If what runs an exported file isn't installed.
        ValueError: If they don't fit, or the device isn't there.
    """
    given = (checkpoint, None if isinstance(config, Config) else config)
    for file in given:
        if file is not None and is_exported(file):
            if weights is not None or cfg_options:
                raise ValueError(
                    f'{file} is exported, with its weights and settings: other weights '
                    'and config options go with a config'
                )
            return _open(file, device, runtime, config)
    if runtime is not None:
        raise ValueError(
            f'runtime {runtime!r} runs files of tools/export.py '
            f'({", ".join(EXPORTED)}): give one as checkpoint, not '
            f'{checkpoint or config}'
        )
    if config is None:
        raise ValueError(
            'give a config, the name of a released model or an exported file'
        )
    device = _check_device(device)
    if is_model_name(config):
        if checkpoint is None:
            config, checkpoint = open_model(config, weights)
        else:
            config = released_config(config)
    elif weights is not None:
        raise ValueError(
            'weights as their authors publish them go with the name of a released '
            'model; weights of a config are its checkpoint'
        )
    cfg = read_config(config, cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    with building('model', cfg.filename):
        model = MODELS.build(cfg.model)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    model.cfg = cfg
    return model.to(device).eval()


def _open(
    file: str | os.PathLike,
    device: str | torch.device | None,
    runtime: str | None,
    config: str | os.PathLike | Config | None,
) -> ExportedSegmentor:
    if device is not None and torch.device(device).type != 'cpu':
        raise ValueError(f'{file} is exported, and runs on processors, not on {device}')
    if config is not None and config != file:
        name = config.filename if isinstance(config, Config) else config
        warn(f'{name} is not read: {Path(file).name} says all that it says')
    return open_exported(file, runtime)


def load_checkpoint(
    model: nn.Module, path: str | os.PathLike, strict: bool = True
) -> dict:
    """Loads a file's weights into a model, without running code from the file.

    A file of adapters alone is completed by the weights that they were trained beside,
    which the config names; see docs/backbones.md.

    Args:
        model: Not wrapped for distributed training.
        path: See :func:`read_checkpoint`.
        strict: Whether missing and unexpected entries are errors. Otherwise they
            are logged. Entries of another shape are errors in any case.

    Returns:
        The checkpoint's ``meta``: config text, epoch, categories...; may be empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights, or those of another model, or
            adapters for other weights than those that the config names.
        RuntimeError: If the weights that the config names can't be had.
    """
    # Copied from the file's own pages: read, the weights would leave as much of the
    # process's memory behind as they took, in pieces too small to go back.
    checkpoint = read_checkpoint(path, mapped=True)
    add_base(model, checkpoint, path)
    state = checkpoint['state_dict']
    expected = model.state_dict()
    if not expected.keys() & state.keys():
        raise ValueError(
            f'{path} holds weights of another model: it has {_some(state)}, the '
            f'model has {_some(expected)}'
        )
    try:
        result = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise ValueError(
            f'{path} does not fit the model, which other widths or depths in the '
            f'config explain: {_some(lines)}'
        ) from None
    problems = []
    for keys, what in (
        (result.missing_keys, 'are missing'),
        (result.unexpected_keys, 'are not known to the model'),
    ):
        keys = [key for key in keys if not key.endswith('num_batches_tracked')]
        if keys:
            problems.append(f'{len(keys)} entries {what}: {_some(keys)}')
    if problems and strict:
        raise ValueError(f'{path} does not fit the model. ' + '; '.join(problems))
    for problem in problems:
        warn(f'{path}: {problem}')
    return checkpoint['meta']


def _check_device(device: str | torch.device | None) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None:
        return torch.device('cuda' if count else 'cpu')
    try:
        device = torch.device(device)
    except RuntimeError:
        raise ValueError(
            f"device {device!r} is unknown; use 'cpu', 'cuda' or 'cuda:1'"
        ) from None
    if device.type == 'cuda' and (device.index or 0) >= count:
        raise ValueError(
            f'device {device} is not there: PyTorch sees {count} CUDA devices'
        )
    return device


def _some(names: Iterable[str], limit: int = 3) -> str:
    """The first few of many names."""
    names = list(names)
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + more
