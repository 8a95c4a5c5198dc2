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
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from .log import warn
from .torch_file import read_torch_file

SAFE_PREFIX = 'safe:'
TRUSTED_PREFIX = 'trusted:'
_NO_WEIGHTS = (
    '{} holds no weights: expected tensors by name, at the top or under '
    "'state_dict' or 'model'"
)


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
        raise ValueError(_NO_WEIGHTS.format(path))
    check_finite(state, path)
    meta = content.get('meta')
    return dict(state_dict=state, meta=meta if isinstance(meta, dict) else {})


def read_content(
    path: str | os.PathLike, mapped: bool = False, plain: bool = False
) -> dict:
    """Everything in a file that is tensors and plain values, by name.

    Args:
        path: See :func:`read_checkpoint`.
        mapped: See there.
        plain: Refuse a file that names programs, besides the record of a training
            script's options.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it is damaged or
            refused.
    """
    content, left_out = _read(path, mapped)
    programs = [name for name in left_out if name != 'argparse.Namespace']
    if plain and programs:
        raise ValueError(
            f'{path} holds more than weights and options: it names programs, such as '
            f'{programs[0]}. None was run'
        )
    return content


def is_whole(path: str | os.PathLike) -> bool:
    """Whether a file is an archive of PyTorch with all of its bytes as written.

    Its directory is read, and the sum of each record compared.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # whatever a damaged file makes of the reader
        return False


def check_finite(state: Mapping[str, torch.Tensor], source: object) -> None:
    """Checks that weights are numbers.

    Args:
        state: Tensors by name.
        source: What the message calls their file.

    Raises:
        ValueError: Some are NaN or infinite.
    """
    bad = [
        name
        for name, value in state.items()
        if value.is_floating_point() and not torch.isfinite(value).all()
    ]
    if bad:
        raise ValueError(
            f'{source}: {len(bad)} of {len(state)} weights are not finite (NaN or '
            f'infinite), such as {bad[0]}: take an earlier checkpoint'
        )


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


@CheckpointLoader.register_scheme(
    prefixes=['', SAFE_PREFIX, 'http://', 'https://'], force=True
)
def load_from_safe(filename: str, map_location: object = None) -> dict:
    """What MMEngine reads files by: ``load_from``, ``resume`` and every ``init_cfg``.

    Weights are on the CPU, wherever they go then. A line tells what was left out.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or no weights in it.
    """
    path = filename.removeprefix(SAFE_PREFIX)
    content, left_out = _read(path, mapped=False)
    state = find_weights(content)
    if not state:
        raise ValueError(_NO_WEIGHTS.format(path))
    check_finite(state, path)
    if left_out:
        warn(f'{path}: left out, as it is not plain data: {", ".join(left_out)}')
    meta = content.get('meta')
    meta = dict(meta) if isinstance(meta, dict) else {}
    # MMEngine would run it as a program, to see how many GPUs a run had.
    meta.pop('config', None)
    return dict(content, state_dict=state, meta=meta)


@CheckpointLoader.register_scheme(
    prefixes=[
        *('modelzoo://', 'torchvision://', 'open-mmlab://', 'openmmlab://'),
        *('mmcls://', 'pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://'),
    ],
    force=True,
)
def load_from_elsewhere(filename: str, map_location: object = None) -> dict:
    """Refuses what MMEngine would fetch and read in ways of its own."""
    raise ValueError(
        f'weights are not read from {filename}: fetch the file and give its path, or '
        'an address that begins with https://'
    )


@CheckpointLoader.register_scheme(prefixes=TRUSTED_PREFIX, force=True)
def load_from_trusted(filename: str, map_location: object = None) -> dict:
    """Unpickles a file that the user trusts, and runs whatever it names."""
    path = filename.removeprefix(TRUSTED_PREFIX)
    return torch.load(path, map_location='cpu', weights_only=False)


def check_run_state(path: str | os.PathLike) -> None:
    """Checks that a run can go on from a file without running anything in it.

    Raises:
        FileNotFoundError, ValueError: There is no such file; it is damaged; some of
            its weights are not finite; or the state in it has objects that only its
            own program can read.
    """
    content, left_out = _read(path, mapped=True)
    check_finite(find_weights(content), path)
    if left_out:
        raise ValueError(
            f'{path} holds {", ".join(left_out[:5])}, which is not read, since a file '
            'could run programs by it. If you made the file, add --trust-checkpoint; '
            'if you only want its weights, give it as load_from without --resume'
        )


def _read(path: str | os.PathLike, mapped: bool) -> tuple[dict, list[str]]:
    """Content of a file, and the names of the objects in it that were left out."""
    source = os.fspath(path)
    file = _download(source) if '://' in source else Path(source).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f'checkpoint {source} does not exist')
    if file.suffix == '.safetensors':
        return _read_safetensors(file), []
    content, left_out = read_torch_file(file, mapped)
    return (content if isinstance(content, dict) else {}), left_out


def _read_safetensors(file: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f'{file} is not a safetensors file: {error}') from None


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
