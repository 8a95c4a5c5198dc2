# SPDX-License-Identifier: Apache-2.0
"""Config files as commands are given them; imports MMEngine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from .data_config import DATA_SUFFIXES, read_data_config
from .plain_data import shorten

_SUFFIXES = ('.py', *DATA_SUFFIXES)

# Transforms of a test pipeline that need annotations.
# Keys of a loader that say how pictures are understood.
_READING = ('bands', 'value_range', 'percentiles', 'nodata', 'alpha')
_NEEDS_ANNOTATION = ('ChooseExpression', 'LoadReferringMask', 'LoadAnnotations')


def leaf_datasets(dataset: dict, key: str = '') -> Iterator[tuple[str, dict]]:
    """Keys, which begin with ``key``, and configs of data sets that aren't wrappers.

    Wrappers such as ``ConcatDataset`` are opened.
    """
    if 'datasets' in dataset:
        for index, part in enumerate(dataset['datasets']):
            yield from leaf_datasets(part, f'{key}.datasets.{index}')
    elif 'dataset' in dataset:
        yield from leaf_datasets(dataset['dataset'], f'{key}.dataset')
    else:
        yield key, dataset


def find_loader(cfg: Config, split: str) -> dict:
    """The config of the loader of 'train', 'val' or 'test'; empty if there is none.

    Raises:
        ValueError: It isn't a dict.
    """
    loader = cfg.get(f'{split}_dataloader') or {}
    if not isinstance(loader, dict):
        raise ValueError(f'{split}_dataloader must be a dict, not {shorten(loader)}')
    return loader


def read_config(
    config: str | os.PathLike | Config, options: dict | None = None
) -> Config:
    """A config file, or the copy of a config, with the keys of ``options`` overridden.

    A ``.py`` config is a program, which is run; the others are data.

    Raises:
        FileNotFoundError, ValueError: It isn't there, or is another kind of file.
    """
    if isinstance(config, Config):
        cfg = deepcopy(config)
    elif not Path(config).is_file():
        raise FileNotFoundError(f'config {os.fspath(config)} does not exist')
    elif Path(config).suffix not in _SUFFIXES:
        raise ValueError(
            f'{os.fspath(config)} is not a config: give a file that ends in '
            f'{", ".join(_SUFFIXES)}, and the checkpoint after it'
        )
    elif Path(config).suffix in DATA_SUFFIXES:
        cfg = read_data_config(Path(config))
    else:
        cfg = _run_config(config)
    if options:
        try:
            cfg.merge_from_dict(options)
        except (AssertionError, AttributeError, KeyError, TypeError) as error:
            names = ', '.join(options)
            raise ValueError(f'--cfg-options {names} does not fit: {error}') from None
    if _name_types(cfg._cfg_dict):
        cfg.setdefault('default_scope', 'mmseg')
    return cfg


def _run_config(path: str | os.PathLike) -> Config:
    try:
        return Config.fromfile(path)
    except OSError:
        raise
    except Exception as error:  # whatever a program raises
        reason = ' '.join(str(error).split())[:300]
        raise ValueError(
            f'config {os.fspath(path)}: {type(error).__name__}: {reason}'
        ) from error


def _name_types(node: object) -> bool:
    """Replaces classes by the names they are registered under, where they are.

    Pure Python configs name types by classes; everything that looks into a config
    then needs to know one form only. True if there was one.
    """
    found = False
    if isinstance(node, dict):
        kind = node.get('type')
        if isinstance(kind, type):
            node['type'] = _registered_name(kind)
            found = True
        node = [node[key] for key in node]
    if isinstance(node, (list, tuple)):
        found = any([_name_types(part) for part in node]) or found
    return found


def _registered_name(kind: type) -> str | type:
    """A class's name in MMSegmentation's registries, or the class without one.

    A class that takes the place of the one it derives from has its name.
    """
    for registry in vars(mmseg.registry).values():
        if isinstance(registry, Registry):
            other = registry.get(kind.__name__)
            if isinstance(other, type) and issubclass(other, kind):
                return kind.__name__
    return kind


@contextmanager
def building(what: str, source: str | None = None) -> Iterator[None]:
    """Says of which part of a config an error is, whatever a component raises.

    Raises:
        ValueError: In place of what comes of missing keys, or keys of other types.
    """
    try:
        yield
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError) as error:
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
        raise ValueError(
            f'{source or "the config"}: {what} can not be built ({reason})'
        ) from error


def inference_pipeline(cfg: Config) -> list[dict]:
    """The config's test pipeline without what needs annotations.

    It is that of the test data set, the first of several, or else ``test_pipeline``.

    Raises:
        ValueError: If there is none, or it doesn't begin by reading a file.
    """
    loader = find_loader(cfg, 'test')
    _, dataset = next(leaf_datasets(loader.get('dataset') or {}))
    pipeline = dataset.get('pipeline') or cfg.get('test_pipeline')
    if not pipeline:
        raise ValueError(
            'the config has neither test_dataloader.dataset.pipeline nor test_pipeline'
        )
    if not all(isinstance(t, dict) and t.get('type') for t in pipeline):
        raise ValueError('each transform of the test pipeline must have a type')
    pipeline = [
        deepcopy(transform)
        for transform in pipeline
        if transform['type'].split('.')[-1] not in _NEEDS_ANNOTATION
    ]
    if not pipeline[0]['type'].endswith('LoadImageFromFile'):
        raise ValueError(
            'the test pipeline must begin with LoadImageFromFile, not '
            f'{pipeline[0]["type"]}'
        )
    pipeline[0].pop('reduce_to', None)  # results are of the whole picture
    return pipeline


def find_reading(cfg: Config) -> dict:
    """What the test pipeline's loader says of bands, depth and missing pixels."""
    loader = inference_pipeline(cfg)[0]
    return {key: loader[key] for key in _READING if key in loader}


def find_resize(cfg: Config) -> dict:
    """The Resize of the test pipeline; empty if it has none."""
    return next((t for t in inference_pipeline(cfg) if t['type'] == 'Resize'), {})


def input_shape(cfg: Config) -> tuple[int, int]:
    """Height and width that the test pipeline resizes pictures to.

    Raises:
        ValueError: If it gives no single size.
    """
    resize = find_resize(cfg)
    scale = resize.get('scale')
    if scale is None or resize.get('keep_ratio'):
        raise ValueError(
            'the test pipeline resizes to no single size: give one with --shape'
        )
    width, height = (scale, scale) if isinstance(scale, int) else scale
    return height, width
