# SPDX-License-Identifier: Apache-2.0
"""Weights from files that need not be trusted.

A PyTorch checkpoint is a pickle, and unpickling can run any program. Files are read
with ``weights_only=True``. MMEngine's own checkpoints, which carry the training
history as Python objects, don't pass that; of them the tensors and plain values are
read, and an inert stand-in takes the place of every other object.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import types
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader

SAFE_PREFIX = 'safe:'


def read_checkpoint(path: str | os.PathLike, mapped: bool = False) -> dict:
    """Reads weights from a file, without running code from it.

    Args:
        path: A ``.safetensors`` file, or one of PyTorch's with the weights at the
            top or under ``state_dict`` or ``model``; a local path or a URL, which
            is downloaded once into PyTorch's cache.
        mapped: Leave the tensors in the file until they are used, where the format
            can; the file must not change as long as they are.

    Returns:
        ``state_dict``, tensors on the CPU, and ``meta``, a dict that may be empty.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or no weights in it.
    """
    content = read_content(path, mapped)
    state = find_weights(content)
    if not state:
        raise ValueError(
            f'{path} holds no weights: expected tensors by name, at the top or '
            "under 'state_dict' or 'model'"
        )
    meta = content.get('meta')
    return dict(state_dict=state, meta=meta if isinstance(meta, dict) else {})


def read_content(path: str | os.PathLike, mapped: bool = False) -> dict:
    """Everything in a file that is tensors and plain values, by name.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it is damaged.
    """
    source = os.fspath(path)
    file = _download(source) if '://' in source else Path(source)
    if not file.is_file():
        raise FileNotFoundError(f'checkpoint {source} does not exist')
    if file.suffix == '.safetensors':
        return _read_safetensors(file)
    content = _read_pickle(file, mapped)
    return content if isinstance(content, dict) else {}


def find_weights(content: object) -> dict[str, torch.Tensor]:
    """Tensors by name at the top or under ``state_dict`` or ``model``; may be empty.

    The prefix of a wrapped model is taken off.
    """
    if not isinstance(content, dict):
        return {}
    parts = (content.get(key) for key in ('state_dict', 'model'))
    weights = next((part for part in parts if isinstance(part, dict)), content)
    state = {
        name: value
        for name, value in weights.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    if state and all(name.startswith('module.') for name in state):
        state = {name.removeprefix('module.'): value for name, value in state.items()}
    return state


def weights_digest(state: Mapping[str, torch.Tensor]) -> hashlib._Hash:
    """SHA-256 of names, types, shapes and values; more can be added to it."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        data = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(data.numpy().data)
    return digest


@CheckpointLoader.register_scheme(prefixes=SAFE_PREFIX, force=True)
def load_from_safe(filename: str, map_location: object = None) -> dict:
    """Lets configs read ``load_from='safe:FILE'`` as :func:`read_checkpoint` does."""
    return read_checkpoint(filename.removeprefix(SAFE_PREFIX))


def _read_safetensors(file: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f'{file} is not a safetensors file: {error}') from None


def _read_pickle(file: Path, mapped: bool) -> object:
    if _is_torchscript(file):
        raise ValueError(
            f'{file} is a TorchScript program, not a checkpoint with weights'
        )
    load = partial(
        torch.load, file, map_location='cpu', mmap=mapped and zipfile.is_zipfile(file)
    )
    try:
        try:
            return load(weights_only=True)
        except Exception:  # which one differs between versions of PyTorch
            return load(pickle_module=_inert_pickle(), weights_only=False)
    except Exception as error:  # whatever a damaged file makes of the reader
        size = file.stat().st_size
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f'{file} ({size} bytes) is damaged or not a PyTorch checkpoint: {reason}'
        ) from None


def _is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith('/constants.pkl') for name in archive.namelist())


class _Ignored:
    """Stands for an object that has no part in weights; takes part in nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _Ignored:
        return object.__new__(cls)

    def __call__(self, *args: object, **kwargs: object) -> _Ignored:
        return self

    def _ignore(self, *args: object, **kwargs: object) -> None:
        """Takes part in nothing."""

    __init__ = __setstate__ = __setitem__ = append = extend = add = _ignore


class _InertUnpickler(pickle.Unpickler):
    """Rebuilds tensors and containers; whatever else a file names is ignored."""

    rebuilders = {
        ('collections', 'OrderedDict'): OrderedDict,
        ('torch', 'Size'): torch.Size,
        ('torch', 'Tensor'): torch.Tensor,
        ('torch._utils', '_rebuild_tensor'): torch._utils._rebuild_tensor,
        ('torch._utils', '_rebuild_tensor_v2'): torch._utils._rebuild_tensor_v2,
        ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
    }

    def find_class(self, module: str, name: str) -> object:
        """Looks up a global name in the list above, never by an import."""
        return self.rebuilders.get((module, name), _Ignored)


def _inert_pickle() -> types.ModuleType:
    """The reader in the form that ``torch.load`` takes."""
    module = types.ModuleType('inert_pickle')
    vars(module).update(
        Unpickler=_InertUnpickler,
        load=lambda file, **kwargs: _InertUnpickler(file, **kwargs).load(),
    )
    return module


def _download(url: str) -> Path:
    """Fetches a file into PyTorch's cache, unless it's there."""
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    # Files of one name from different places must not stand for each other.
    mark = hashlib.sha256(url.encode()).hexdigest()[:8]
    file = folder / f'{mark}_{url.split("?")[0].rsplit("/", 1)[-1]}'
    if file.is_file():
        return file
    folder.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), progress=False)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f'checkpoint {url} cannot be downloaded ({error}); fetch it by other '
            'means and give its path'
        ) from None
    return file
