# SPDX-License-Identifier: Apache-2.0
"""Released models by name: where their weights are, fetched and converted once."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from filelock import FileLock
from mmengine.config import Config
from mmengine.fileio import load
from torch import Tensor

from ...utils.config import read_config
from ...utils.files import digest, whole_file
from .released import Rules, build_empty_model, convert, read_released, read_rules

INDEX_VARIABLE = 'MMCADFORMER_MODEL_INDEX'
"""Environment variable: a ``model-index.yml`` to use in place of this project's."""
CACHE_VARIABLE = 'MMCADFORMER_CACHE'
"""Environment variable: the folder for converted weights."""
_PACKAGE = Path(__file__).resolve().parents[2]
# An installed package brings the index along, a checkout has it around the package.
_INDEX_FOLDERS = (_PACKAGE / '.mim', _PACKAGE.parent)


@dataclass(frozen=True)
class ReleasedModel:
    """A network whose weights its authors have released.

    Attributes:
        name: What it is called here.
        method: Whose rules convert it, see :data:`~.released.METHODS`.
        config: Config file, without the settings that go with the weights.
        about: What it is.
        licence: Of weights and training data, in words.
        page: Where its authors publish it.
        file: The file that holds the weights there.
        hub: Repository of the Hugging Face hub that has the file; may be empty.
        revision: Of the repository.
        sha256: Of the file; may be empty.
        size: Of the file, in bytes; 0 if it isn't known.
    """

    name: str
    method: str
    config: Path
    about: str
    licence: str
    page: str
    file: str
    hub: str = ''
    revision: str = 'main'
    sha256: str = ''
    size: int = 0


def list_models() -> list[str]:
    """Names of released models, as :class:`ReferringInferencer` takes them."""
    return list(_read_index())


def is_model_name(config: object) -> TypeGuard[str]:
    """Whether this is to be looked up here, rather than a config or its file."""
    return isinstance(config, str) and not Path(config).suffix and '/' not in config


def find_model(name: str) -> ReleasedModel:
    """Looks a released model up.

    Raises:
        ValueError: There is none of this name.
    """
    models = _read_index()
    if name not in models:
        known = ', '.join(models)
        raise ValueError(
            f'{name!r} is neither a config file nor a released model; those are {known}'
        )
    return models[name]


def released_config(name: str) -> Config:
    """The config of a released model, with what its authors' code does."""
    return _prepare(find_model(name))[0]


def open_model(
    name: str, weights: str | os.PathLike | None = None
) -> tuple[Config, Path]:
    """Config and weights of a released model, fetched and converted if need be.

    What is downloaded, from where, how large and under which licence is written to
    standard error before. Mirrors (``HF_ENDPOINT``) and ``HF_HUB_OFFLINE`` are
    respected.

    Args:
        name: One of :func:`list_models`.
        weights: The authors' file, if it is there already.

    Returns:
        The config, and the converted weights in the cache.

    Raises:
        FileNotFoundError: The file isn't there, or can't be downloaded.
        ValueError: It is another one than was published, holds programs, or doesn't
            fit the network.
    """
    model = find_model(name)
    config, rules, target = _prepare(model)
    shapes = [(key, tuple(value.shape)) for key, value in target.items()]
    _tell_of_tokenizer(config)
    version = digest(repr((rules, shapes)), 8)

    def converted(sha256: str) -> Path:
        return cache_folder() / f'{model.name}-{sha256[:16]}-{version}.pth'

    if weights is None and converted(model.sha256).is_file():
        return config, converted(model.sha256)
    source = Path(weights) if weights is not None else _fetch(model)
    if not source.is_file():
        raise FileNotFoundError(f'{source} does not exist')
    sha256 = _hash_file(source)
    if weights is None:
        _check_hash(model, source, sha256)
    path = converted(sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f'{path}.lock'):
        if not path.is_file():
            new, report = convert(read_released(source, plain=True), rules, target)
            if report.problems:
                raise ValueError(_misfit(model, source, report.problems))
            with whole_file(path) as unfinished:
                torch.save(dict(meta=dict(source=sha256), state_dict=new), unfinished)
    return config, path


def _misfit(model: ReleasedModel, source: Path, problems: list[str]) -> str:
    """What to say of a file that can't be converted."""
    listed = '\n  '.join(problems[:10])
    text = f'{source} does not fit {model.name}: {len(problems)} problems, such as'
    if all(problem.startswith('unknown: ') for problem in problems):
        listed += (
            '\nNothing is missing. To leave out what is unknown:\n  python '
            f'tools/model_converters/released2mmcadformer.py {model.method} {source} '
            'OUT.pth --allow-extra\nand give OUT.pth as checkpoint with the name'
        )
    return f'{text}\n  {listed}'


def cache_folder() -> Path:
    """The folder for converted weights."""
    if CACHE_VARIABLE in os.environ:
        return Path(os.environ[CACHE_VARIABLE])
    caches = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return caches / 'mmcadformer'


def _read_index() -> dict[str, ReleasedModel]:
    index = _find_index()
    entries = [
        entry
        for name in load(index)['Import']
        for entry in load(index.parent / name).get('Released', ())
    ]
    return {
        entry['Name']: ReleasedModel(
            entry['Name'],
            entry['Method'],
            index.parent / entry['Config'],
            entry['Description'],
            entry['License'],
            entry['Page'],
            entry['File'],
            entry.get('Hub', ''),
            entry.get('Revision', 'main'),
            entry.get('SHA256', ''),
            entry.get('Size', 0),
        )
        for entry in entries
    }


def _find_index() -> Path:
    given = os.environ.get(INDEX_VARIABLE)
    files = [folder / 'model-index.yml' for folder in _INDEX_FOLDERS]
    for file in [Path(given)] if given else files:
        if file.is_file():
            return file
    raise FileNotFoundError(
        f'{given or files[0]} does not exist, in which released models are listed: '
        f'install the package anew, or name such a file by {INDEX_VARIABLE}'
    )


def _prepare(model: ReleasedModel) -> tuple[Config, Rules, dict[str, Tensor]]:
    """Config with the authors' settings, rules, and our state dict without numbers."""
    config = read_config(model.config)
    rules = read_rules(model.method)
    target = build_empty_model(config).state_dict()
    config.merge_from_dict(rules.differing_settings(target, config))
    return config, rules, target


def _fetch(model: ReleasedModel) -> Path:
    """The file from the hub's cache, or from the hub."""
    import huggingface_hub
    from huggingface_hub import constants

    if not model.hub:
        raise FileNotFoundError(
            f'{model.name} has no address to download from: get {model.file} (see '
            f'{model.page}) and give it as weights. Licence: {model.licence}'
        )
    where = (model.hub, model.file)
    endpoint = os.environ.get('HF_ENDPOINT') or constants.ENDPOINT
    cached = huggingface_hub.try_to_load_from_cache(*where, revision=model.revision)
    if not isinstance(cached, str) and not constants.HF_HUB_OFFLINE:
        size = f', {model.size / 1e9:.2f} GB' if model.size else ''
        print(
            f'{model.name}: downloading {model.file}{size} from '
            f'{endpoint}/{model.hub} ({model.revision}). '
            f'Licence: {model.licence}',
            file=sys.stderr,
        )
    try:
        file = huggingface_hub.hf_hub_download(
            *where,
            revision=model.revision,
            endpoint=endpoint,
            local_files_only=constants.HF_HUB_OFFLINE,
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f'{model.file} of {model.name} cannot be downloaded from {model.hub} '
            f'({reason}); fetch it by other means and give it as weights'
        ) from error
    return Path(file)


def _tell_of_tokenizer(config: Config) -> None:
    """Says that the first sentence will fetch the tokenizer, if it will."""
    from huggingface_hub import constants, try_to_load_from_cache

    name = config.model.text_encoder.get('pretrained')
    if name is None or config.model.text_encoder.get('vocab') or Path(name).is_dir():
        return
    cached = try_to_load_from_cache(name, 'tokenizer_config.json')
    if not isinstance(cached, str) and not constants.HF_HUB_OFFLINE:
        print(
            f'the tokenizer comes from {constants.ENDPOINT}/{name}, below 1 MB '
            '(bert-base-uncased: Apache-2.0)',
            file=sys.stderr,
        )


def _check_hash(model: ReleasedModel, file: Path, sha256: str) -> None:
    """Compares with what was published, else with what the hub says of the file."""
    named = Path(os.path.realpath(file)).name  # the hub's cache calls files so
    expected = model.sha256 or (named if re.fullmatch('[0-9a-f]{64}', named) else '')
    if expected and sha256 != expected:
        raise ValueError(
            f'{file} is not the published {model.file}: its SHA-256 is {sha256}, not '
            f'{expected}. Delete it to download it again'
        )


def _hash_file(file: Path) -> str:
    result = hashlib.sha256()
    with file.open('rb') as stream:
        while block := stream.read(2**22):
            result.update(block)
    return result.hexdigest()
