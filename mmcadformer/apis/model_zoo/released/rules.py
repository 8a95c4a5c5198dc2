# SPDX-License-Identifier: Apache-2.0
"""The rules of ``names.yml``: what released tensors are called, and what here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import yaml
from mmengine.config import Config
from torch import Tensor

Setting = bool | int | str
_KEYS = dict(names=dict, also=list, zeros=list, settings=dict, without=dict)
_PLACE = re.compile('<([a-z])>')


def _read(path: Path) -> dict:
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f'{path} is not YAML: {error}') from None
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds no keys and values')
    return content


_NAMES = _read(Path(__file__).with_name('names.yml'))
METHODS: tuple[str, ...] = tuple(_NAMES['methods'])
"""Methods whose released weights can be converted."""


@dataclass(frozen=True)
class Rule:
    """Where tensors of one name, and those below it, go.

    Attributes:
        pattern: Their name, to be matched as a whole.
        ours: Ours, with numbers of theirs as ``<i>``; None if they are unused.
        why: Why they are unused.
    """

    pattern: re.Pattern[str]
    ours: str | None
    why: str = ''


@dataclass(frozen=True)
class Rules:
    """Everything known about the weights of a method.

    Attributes:
        names: The first that fits a tensor places it.
        zeros: Names of our biases that are zero where the file has none.
        settings: Config keys that no weight shows, with the authors' values.
        without: Other settings if our model lacks a part.
    """

    names: list[Rule]
    zeros: list[re.Pattern[str]]
    settings: dict[str, Setting]
    without: dict[str, dict[str, Setting]]

    def place(self, name: str) -> Rule | None:
        """The first rule that fits a released tensor, with our whole name, if any."""
        for rule in self.names:
            if match := rule.pattern.fullmatch(name):
                if rule.ours is None:
                    return rule
                ours = _PLACE.sub(lambda place: match[place[1]], rule.ours)
                return replace(rule, ours=ours + (match['below'] or ''))
        return None

    def differing_settings(
        self, target: dict[str, Tensor], config: Config
    ) -> dict[str, Setting]:
        """Settings of the authors' code that a config doesn't have.

        Args:
            target: State dict of our model.
            config: The model's.

        Returns:
            Values by config key, with dots.
        """
        settings = dict(self.settings)
        for part, others in self.without.items():
            if not any(name.startswith(f'{part}.') for name in target):
                settings.update(others)
        content = config.to_dict()

        def look_up(key: str) -> object:
            return reduce(
                lambda part, name: part.get(name, {}), key.split('.'), content
            )

        return {k: v for k, v in settings.items() if look_up(k) != v}


def read_rules(method: str, file: str | os.PathLike | None = None) -> Rules:
    """Reads the rules of a method.

    Args:
        method: One of ``METHODS``.
        file: Rules that come first, for weights with other names.

    Raises:
        ValueError: The file is not made as ``names.yml`` is, or names an unknown part.
    """
    entry = _NAMES['methods'][method]
    own = {} if file is None else _read(Path(file))
    wrong = [k for k, v in own.items() if not isinstance(v, _KEYS.get(k, ()))]
    if wrong:
        expected = ', '.join(f'{k} ({v.__name__})' for k, v in _KEYS.items())
        raise ValueError(f'{file}: {wrong[0]} is not one of {expected}')
    try:
        names = [
            rule
            for source in (own, entry)
            for part in (source.get('names', {}), *map(_part, source.get('also', ())))
            for rule in _expand(part)
        ]
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from None
    zeros = (*own.get('zeros', ()), *entry.get('zeros', ()))
    return Rules(
        names,
        [_pattern(name) for name in zeros],
        {**entry['settings'], **own.get('settings', {})},
        {**entry.get('without', {}), **own.get('without', {})},
    )


def _part(name: str) -> dict:
    try:
        return _NAMES['parts'][name]
    except KeyError:
        known = ', '.join(_NAMES['parts'])
        raise ValueError(f'{name} is not a part; there are {known}') from None


def _expand(names: dict, theirs: str = '', ours: str = '') -> Iterator[Rule]:
    """Rules with those of parts in the places that name them."""
    for old, new in names.items():
        old = f'{theirs}{old}'
        match new:
            case str() if set(_PLACE.findall(ours + new)) <= set(_PLACE.findall(old)):
                yield Rule(_pattern(old), ours + new)
            case {'unused': str(why)}:
                yield Rule(_pattern(old), None, why)
            case [str(name), str(part)]:
                yield from _expand(_part(part), f'{old}.', f'{ours}{name}.')
            case _:
                raise ValueError(
                    f'{old}: expected our name (with no other <i> than there), '
                    '[our name, part] or {unused: reason}'
                )


def _pattern(name: str) -> re.Pattern[str]:
    """A name in which the same number stands wherever ``<i>`` does."""
    seen: set[str] = set()

    def group(place: re.Match[str]) -> str:
        known = place[1] in seen
        seen.add(place[1])
        return f'(?P={place[1]})' if known else rf'(?P<{place[1]}>\d+)'

    return re.compile(_PLACE.sub(group, re.escape(name)) + r'(?P<below>\..+)?')
