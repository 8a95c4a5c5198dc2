# SPDX-License-Identifier: Apache-2.0
"""Configs in JSON and YAML: data that can run nothing; imports MMSegmentation.

MMEngine reads them as it reads Python: tags of YAML and dotted types import and call
whatever they name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mmengine import registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmseg.utils import register_all_modules

from .plain_data import check_extent, parse_json, shorten

DATA_SUFFIXES = ('.json', '.yaml', '.yml')
_IMPORTS = ('mmcadformer', 'mmseg')
_SCOPES = ('mmengine', 'mmseg', 'mmcv')
# What MMEngine looks up by name, or else imports.
_TYPES = frozenset(('type', 'constructor', 'runner_type', 'strategy'))
_PICKLES = ('.pkl', '.pickle')


class _Loader(yaml.SafeLoader):
    """Plain YAML, and the tag that MMEngine writes for tuples."""


_Loader.add_constructor(
    'tag:yaml.org,2002:python/tuple',
    lambda loader, node: tuple(loader.construct_sequence(node, deep=True)),
)


def read_data_config(path: Path) -> Config:
    """Reads a config that ends in ``.json``, ``.yaml`` or ``.yml``, with its bases.

    Raises:
        FileNotFoundError, ValueError: A file isn't there, is damaged, or has what
            only a ``.py`` config may have. File and key are named.
    """
    content = _read(path, ())
    _import(content, path)
    check_plain_types(content, path)
    return Config(content, filename=str(path))


def check_plain_types(content: dict[str, Any], path: Path) -> None:
    """Refuses what would have a config's content import or run something.

    Raises:
        ValueError: A type is no registered name, or something names a pickle.
    """
    names = set(_registered())
    for key, value in _values(content):
        where = f'{path}: {key}'
        last = key.rpartition('.')[2]
        if last in ('_scope_', 'default_scope') and value not in (*_SCOPES, None):
            raise ValueError(f'{where} = {shorten(value)} is not one of {_SCOPES}')
        if last in _TYPES and _plain_name(value) not in names:
            raise ValueError(
                f'{where} = {shorten(value)} is not a registered name. Configs in JSON '
                'and YAML hold data only; a .py config may name classes by their path'
            )
        if isinstance(value, str) and value.endswith(_PICKLES):
            raise ValueError(
                f'{where} = {shorten(value)} is a pickle, which could run programs; '
                'only a .py config may name one'
            )


def _read(path: Path, parents: tuple[Path, ...]) -> dict[str, Any]:
    """Content with that of the bases below it."""
    path = path.resolve()
    if path in parents:
        raise ValueError(f'{path}: the config is a base of itself')
    content = _parse(path)
    bases = content.pop('_base_', [])
    merged: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        if not isinstance(base, str) or Path(base).suffix not in DATA_SUFFIXES:
            raise ValueError(
                f'{path}: _base_ names {shorten(base)}, but a config in JSON or YAML '
                'can only inherit from such'
            )
        found = _read(path.parent / base, (*parents, path))
        if twice := merged.keys() & found.keys():
            raise ValueError(f'{path}: two of its bases have the key {min(twice)!r}')
        merged.update(found)
    try:
        return dict(Config._merge_a_into_b(content, merged))
    except (TypeError, KeyError) as error:
        raise ValueError(f'{path}: does not fit its bases ({error})') from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'config {path} does not exist') from None
    try:
        if path.suffix == '.json':
            content = parse_json(data)
        else:
            content = yaml.load(data.decode('utf-8-sig'), _Loader)
        check_extent(content, len(data))
    except RecursionError:
        raise ValueError(f'{path}: it is nested too deeply') from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f'{path}: {" ".join(str(error).split())[:300]}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path}: a config must have keys and values')
    for key, value in _values(content):
        if '{{' in key or isinstance(value, str) and '{{' in value:
            raise ValueError(
                f'{path}: {shorten(key)} has a placeholder, which only a .py config '
                'may have'
            )
    return content


def _values(part: object, key: str = '') -> Iterator[tuple[str, object]]:
    """Dotted keys and values of everything in a config."""
    if isinstance(part, dict):
        pairs = [(str(name), value) for name, value in part.items()]
    elif isinstance(part, (list, tuple)):
        pairs = [(str(index), value) for index, value in enumerate(part)]
    else:
        return
    for name, value in pairs:
        inner = f'{key}.{name}' if key else name
        yield inner, value
        yield from _values(value, inner)


def _import(content: dict[str, Any], path: Path) -> None:
    """Imports what may be imported, so that its names are registered."""
    given = content.get('custom_imports') or {}
    names = given.get('imports', ()) if isinstance(given, dict) else given
    names = [names] if isinstance(names, str) else names or ()
    for name in names:
        if not isinstance(name, str) or name.partition('.')[0] not in _IMPORTS:
            raise ValueError(
                f'{path}: custom_imports names {shorten(name)}; a config in JSON or '
                f'YAML can only import {" and ".join(_IMPORTS)}'
            )
    register_all_modules(init_default_scope=False)


def _plain_name(name: object) -> str:
    """A registered name without its scope; empty for what can't be one."""
    if not isinstance(name, str):
        return ''
    scope, _, rest = name.rpartition('.')
    return rest if scope in ('', *_SCOPES) else ''


def _registered() -> Iterator[str]:
    """Every name in every registry."""
    todo = [value for value in vars(registry).values() if isinstance(value, Registry)]
    while todo:
        found = todo.pop()
        yield from found.module_dict
        todo += found.children.values()
