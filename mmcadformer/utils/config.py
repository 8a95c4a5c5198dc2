# SPDX-License-Identifier: Apache-2.0
"""Config files as commands are given them; imports MMEngine."""

import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

_SUFFIXES = ('.py', '.json', '.yaml', '.yml')


def leaf_datasets(dataset: dict, key: str = '') -> Iterator[tuple[str, dict]]:
    """Data sets inside wrappers such as ``ConcatDataset``.

    Args:
        dataset: Config of a data set or of a wrapper.
        key: Its key in the whole config, for messages.

    Yields:
        Key and config of each data set that is not a wrapper.
    """
    if 'datasets' in dataset:
        for index, part in enumerate(dataset['datasets']):
            yield from leaf_datasets(part, f'{key}.datasets.{index}')
    elif 'dataset' in dataset:
        yield from leaf_datasets(dataset['dataset'], f'{key}.dataset')
    else:
        yield key, dataset


def read_config(path: str | os.PathLike, options: dict | None = None) -> Config:
    """Reads a config file.

    Args:
        path: The file.
        options: Keys to override, as of ``--cfg-options``.

    Raises:
        FileNotFoundError: If it isn't there.
        ValueError: If it is another kind of file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {os.fspath(path)} does not exist')
    if Path(path).suffix not in _SUFFIXES:
        raise ValueError(
            f'{os.fspath(path)} is not a config: give a file that ends in '
            f'{", ".join(_SUFFIXES)}, and the checkpoint after it'
        )
    cfg = Config.fromfile(path)
    if options:
        cfg.merge_from_dict(options)
    return cfg
