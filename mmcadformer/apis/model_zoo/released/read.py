# SPDX-License-Identifier: Apache-2.0
"""Reads a released checkpoint without running code from it."""

import argparse
import contextlib
import pickle
from pathlib import Path

import torch
from torch import Tensor


def read_released(path: str) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, with ``weights_only=True``.

    The released training scripts store the network under ``model`` and their
    arguments as an ``argparse.Namespace``, which is let through: it holds plain
    values. LAVT's first variant stores BERT apart under ``bert_model``.

    Args:
        path (str): File of PyTorch or safetensors.

    Returns:
        dict[str, Tensor]: Tensors by released name, without ``module.``; BERT's
        under ``text_encoder.``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights, or more than weights.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    content = _load(file)
    state = _tensors(content.get('model', content.get('state_dict', content)))
    for name, value in _tensors(content.get('bert_model', {})).items():
        state.setdefault(f'text_encoder.{name}', value)
    if not state:
        raise ValueError(f'{path} holds no tensors by name, at the top or in "model"')
    return state


def _load(file: Path) -> dict:
    if file.suffix == '.safetensors':
        from safetensors.torch import load_file

        return load_file(file)
    # Before PyTorch 2.5 nothing can be let through; plain files load all the same.
    allow = getattr(torch.serialization, 'safe_globals', None)
    context = allow([argparse.Namespace]) if allow else contextlib.nullcontext()
    try:
        with context:
            content = torch.load(file, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{file} holds objects other than tensors and plain values, or is '
            f'damaged: {str(error).splitlines()[0]}. If you trust its origin, save '
            "its weights alone: torch.save(torch.load(FILE)['model'], NEW)"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f'{file} holds a {type(content).__name__}, not weights')
    return content


def _tensors(content: dict) -> dict[str, Tensor]:
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)}
    return {name.removeprefix('module.'): value for name, value in tensors.items()}
