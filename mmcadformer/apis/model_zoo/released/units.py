# SPDX-License-Identifier: Apache-2.0
"""Layers of a state dict, and the assignment of released layers to ours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

# What networks register one after the other in a module, where both are there.
_SEQUENCES = (
    ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'),
    ('norm1', 'attn', 'norm2', 'mlp'),
    ('patch_embed', 'layers', 'norm0'),
    ('qkv', 'proj'),
    ('fc1', 'fc2'),
)


@dataclass(frozen=True, eq=False)
class Unit:
    """A layer: its name, its place among the layers of the file, its tensors."""

    name: str
    index: int
    tensors: dict[str, Tensor] = field(repr=False)

    @property
    def module(self) -> str:
        """Name of the module that holds the layer."""
        return self.name.rpartition('.')[0]

    @property
    def kind(self) -> str:
        """'bn', 'ln', 'linear', 'conv', or 'other'."""
        if 'running_mean' in self.tensors:
            return 'bn'
        if 'weight' not in self.tensors:
            return 'other'
        return {1: 'ln', 2: 'linear'}.get(self.tensors['weight'].dim(), 'conv')

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weight; a 1x1 convolution's is that of a linear layer."""
        weight = self.tensors.get('weight', next(iter(self.tensors.values())))
        shape = tuple(weight.shape)
        return shape[:2] if len(shape) > 2 and set(shape[2:]) == {1} else shape


def split_units(state: dict[str, Tensor]) -> list[Unit]:
    """Group the tensors of a state dict by layer, in the order of the file."""
    grouped: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in state.items():
        unit, _, leaf = name.rpartition('.')
        grouped[unit][leaf] = tensor
    return [Unit(name, i, tensors) for i, (name, tensors) in enumerate(grouped.items())]


def find_disorder(names: Iterable[str]) -> str | None:
    """The first name that isn't where a network would have registered it, if any.

    Only what is known of every network here is looked at: the tensors of a layer, the
    Swin Transformer's blocks and what is in them.
    """
    seen: dict[str, list[str]] = defaultdict(list)  # parts of a module, as they came
    for name in names:
        parts = name.split('.')
        for depth, part in enumerate(parts):
            before = seen['.'.join(parts[:depth])]
            if part in before:
                continue
            numbered = depth > 0 and parts[depth - 1] in ('layers', 'blocks')
            if before and not _may_follow(before[-1], part, numbered):
                return name
            before.append(part)
    return None


def _may_follow(last: str, part: str, numbered: bool) -> bool:
    if numbered and last.isdecimal() and part.isdecimal():
        return int(last) < int(part)
    return not any(
        last in sequence
        and part in sequence
        and sequence.index(last) > sequence.index(part)
        for sequence in _SEQUENCES
    )


@dataclass(frozen=True)
class Row:
    """A layer that the released network has.

    Attributes:
        target: Our layer; None if it takes no part in the result.
        kind: Its :attr:`Unit.kind`; 'any' for 'linear' or 'conv'.
        shape: Its :attr:`Unit.shape`.
        hints: Regular expressions for its name, the surest first.
        bias: Whether it may have a bias.
        after: Our layer whose released layer this one follows, which tells layers of
            one shape apart where names don't.
        beside: Our layer whose released layer is likely to be in the same module,
            likewise.
    """

    target: str | None
    kind: str
    shape: tuple[int, ...]
    hints: tuple[str, ...] = ()
    bias: bool = True
    after: str = ''
    beside: str = ''

    def fits(self, unit: Unit) -> bool:
        """Whether a layer has this kind and shape, and no bias too many."""
        kinds = ('linear', 'conv') if self.kind == 'any' else (self.kind,)
        if 'bias' in unit.tensors and not self.bias:
            return False
        return unit.kind in kinds and unit.shape == self.shape


@dataclass(frozen=True)
class Placement:
    """A released layer, its row, and how it was recognised.

    That is by 'name', by 'shape' (the only one of its kind and shape) or by 'order'
    (the first of several of one shape, and so on; or by the neighbours).
    """

    unit: Unit
    row: Row
    how: str


def assign(rows: Sequence[Row], units: Sequence[Unit]) -> list[Placement]:
    """Find the layer of each row: by name, else by shape, else by order.

    Rows that can't be decided stay out, and so do layers of no row.

    Args:
        rows: In the order in which the network registers them.
        units: Candidates.

    Returns:
        At most one placement for each row and each layer.
    """
    pending, free = list(rows), list(units)
    placed: list[Placement] = []
    depth = max((len(row.hints) for row in rows), default=0)
    for level in (*range(depth), None):
        for hint, group in _groups(pending, level):
            found = [
                unit
                for unit in free
                if group[0].fits(unit) and (not hint or re.search(hint, unit.name))
            ]
            if len(found) != len(group):
                continue
            how = 'order' if len(group) > 1 else 'name' if hint else 'shape'
            for row, unit in _pairs(group, found, placed):
                placed.append(Placement(unit, row, how))
                pending.remove(row)
                free.remove(unit)
    return placed


def _groups(rows: Iterable[Row], level: int | None) -> list[tuple[str, list[Row]]]:
    """Rows that names don't tell apart at this level, the most demanding first.

    Norms are last of all: they may need the layers that they follow.
    """
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        if level is None or level < len(row.hints):
            hint = '' if level is None else row.hints[level]
            groups[hint, row.kind, row.shape, row.bias].append(row)

    def demand(item: tuple[tuple, list[Row]]) -> int:
        _, kind, _, bias = item[0]
        return {'any': 2, 'bn': 3, 'ln': 3}.get(kind, int(bias))

    return [(key[0], group) for key, group in sorted(groups.items(), key=demand)]


def _pairs(
    group: list[Row], found: list[Unit], placed: list[Placement]
) -> list[tuple[Row, Unit]]:
    """Rows and layers: first those with a neighbour, the others in their order."""
    near = {p.row.target: p.unit for p in placed if p.row.target}
    pairs, others, rest = [], [], list(found)
    for row in group:
        module = near[row.beside].module if row.beside in near else None
        siblings = [unit for unit in rest if unit.module == module]
        if len(siblings) == 1:
            pairs.append((row, siblings[0]))
            rest.remove(siblings[0])
        else:
            others.append(row)
    if all(row.after in near for row in others):
        others.sort(key=lambda row: near[row.after].index)
    return pairs + list(zip(others, rest, strict=True))
