# SPDX-License-Identifier: Apache-2.0
"""Who imports whom in the package, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = 'mmcadformer'


@dataclass(frozen=True)
class House:
    """Modules of the package and their imports.

    Args:
        files: Module -> its file.
        imports: Module -> modules of the package that it names in an import, wherever
            it stands; a package is named where its ``__init__`` is.
        uses: Module -> files of the package that define what it imports: names that a
            package passes on lead to the file behind it.
    """

    files: dict[str, Path]
    imports: dict[str, set[str]] = field(default_factory=dict)
    uses: dict[str, set[str]] = field(default_factory=dict)


def read_house(root: Path) -> House:
    """Reads ``mmcadformer`` below a checkout."""
    files = {}
    for path in sorted((root / PACKAGE).rglob('*.py')):
        parts = path.relative_to(root).with_suffix('').parts
        files['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    house = House(files)
    named = {module: list(_imported(module, files)) for module in files}
    passed_on = {
        (module, own): (base, name)
        for module, entries in named.items()
        for base, name, own in entries
        if files[module].name == '__init__.py'
    }
    for module, entries in named.items():
        house.imports[module] = {_module_of(b, n, files) for b, n, _ in entries}
        house.uses[module] = {
            _module_of(*_origin(b, n, files, passed_on), files) for b, n, _ in entries
        }
        for targets in (house.imports[module], house.uses[module]):
            targets.discard(module)
    return house


def _imported(module: str, files: dict[str, Path]) -> Iterator[tuple[str, str, str]]:
    """Yields module, name in it, and the name here, of imports from the package."""
    path = files[module]
    package = module if path.name == '__init__.py' else module.rpartition('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split('.')[0] == PACKAGE:
                    yield alias.name, '', alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                above = package.split('.')[: package.count('.') + 2 - node.level]
                base = '.'.join(above + ([base] if base else []))
            if base.split('.')[0] == PACKAGE:
                for alias in node.names:
                    yield base, alias.name, alias.asname or alias.name


def _module_of(base: str, name: str, files: dict[str, Path]) -> str:
    inner = f'{base}.{name}'
    return inner if inner in files else base


def _origin(
    base: str,
    name: str,
    files: dict[str, Path],
    passed_on: dict[tuple[str, str], tuple[str, str]],
) -> tuple[str, str]:
    """Where a name is from that packages pass on."""
    seen = set()
    while (base, name) in passed_on and (base, name) not in seen:
        if f'{base}.{name}' in files:
            break
        seen.add((base, name))
        base, name = passed_on[base, name]
    return base, name


def circles(house: House) -> list[list[str]]:
    """Groups of files that import each other, directly or around."""
    graph = {
        module: {t for t in targets if house.files[t].name != '__init__.py'}
        for module, targets in house.uses.items()
        if house.files[module].name != '__init__.py'
    }
    reach: dict[str, set[str]] = {}
    for start in graph:
        reach[start], waiting = set(), list(graph[start])
        while waiting:
            module = waiting.pop()
            if module not in reach[start]:
                reach[start].add(module)
                waiting.extend(graph[module])
    groups = {
        tuple(sorted(m for m in reach[start] if start in reach[m]))
        for start in graph
        if start in reach[start]
    }
    return sorted(map(list, groups))
