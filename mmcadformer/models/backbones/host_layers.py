# SPDX-License-Identifier: Apache-2.0
"""How deep in a host each of its parameters is, for a learning rate by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .host_recipes import HostRecipe


def parameter_layers(
    stage_of: Mapping[str, int], stages: Sequence[str], recipe: HostRecipe
) -> tuple[dict[str, int], int]:
    """The layer of each parameter of a host, and their number.

    A layer is a block where the blocks of a stage can be told apart by the names of
    their parameters, and the stage otherwise. What comes before the first block is
    layer 0; what leads from one stage to the next belongs to the next one's first.

    Args:
        stage_of: Parameter -> stage, from 0.
        stages: Names of the modules that end the stages.
        recipe: The host's; parameters of its ``norms`` have no layer.
    """
    norms = recipe.norms or ()
    skipped = tuple(f'{norm}.' for norm in norms if norm is not None)
    names = {n: s for n, s in stage_of.items() if not n.startswith(skipped)}
    containers = [_container(names, i, name, recipe) for i, name in enumerate(stages)]
    blocks = {name: _block(name, containers[stage]) for name, stage in names.items()}
    found = {(names[n], b) for n, b in blocks.items() if b is not None}
    # A stage whose blocks have no numbers is one layer.
    known = {stage for stage, _ in found}
    found |= {(stage, 0) for stage in range(len(stages)) if stage not in known}
    number = {entry: i + 1 for i, entry in enumerate(sorted(found))}
    layers = {}
    for name, stage in names.items():
        block = blocks[name]
        first = min((i for (s, _), i in number.items() if s == stage), default=0)
        layers[name] = (
            number[stage, block] if block is not None else first if stage else 0
        )
    return layers, len(found) + 1


def _container(
    names: Mapping[str, int], stage: int, module: str, recipe: HostRecipe
) -> str:
    """The module whose numbered children are the blocks of a stage."""
    own = [name for name, number in names.items() if number == stage]
    parent = module.rpartition('.')[0]
    beside = {name.split('.')[parent.count('.') + 1] for name in _below(own, parent)}
    several = sum(child.isdigit() for child in beside) > 1
    if recipe.flat or recipe.stages[stage].endswith('.-1') or several:
        return parent
    # Inside of it: the list of blocks holds more than a down-sampling in two steps.
    lists = Counter(_before_number(name, module) for name in _below(own, module))
    return max(lists, key=lambda path: lists[path], default=module)


def _below(names: Iterable[str], module: str) -> list[str]:
    inside = f'{module}.' if module else ''
    return [name for name in names if name.startswith(inside)]


def _before_number(name: str, module: str) -> str:
    """The path to the first number in a name behind a module; '' if there is none."""
    parts = name.split('.')
    start = module.count('.') + 1
    number = next((i for i in range(start, len(parts)) if parts[i].isdigit()), 0)
    return '.'.join(parts[:number])


def _block(name: str, container: str) -> int | None:
    """The number of a parameter's block; None if it is in none."""
    if not container or not name.startswith(f'{container}.'):
        return None
    first = name.removeprefix(f'{container}.').split('.')[0]
    return int(first) if first.isdigit() else None
