# SPDX-License-Identifier: Apache-2.0
"""From a released state dict to ours, with an account of every key."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ....utils.checkpoint import find_weights, read_content
from .layouts import LAYOUTS, Layout
from .receptive import arrange_receptive
from .units import Placement, Row, Unit, assign, find_disorder, split_units

_DERIVED = re.compile(r'(position_ids|attn_mask)$')


@dataclass
class Report:
    """What became of every released key, and what ours lacks.

    Attributes:
        placed: Released layer, our layer, and how it was recognised: 'name', 'shape'
            or 'order'.
        unused: Released layer and why it isn't needed.
        unknown: Released layers that nothing is known about.
        missing: Our tensors that got no value.
        zeros: Biases of ours that the released layer doesn't have.
    """

    placed: list[tuple[str, str, str]] = field(default_factory=list)
    unused: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    zeros: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every released key is accounted for and ours are all filled."""
        return not (self.unknown or self.missing)

    def by_order(self) -> list[tuple[str, str]]:
        """Layers told apart by nothing but their place in the file."""
        return [(a, b) for a, b, how in self.placed if how == 'order']

    def __str__(self) -> str:
        lines = [f'used    {a} -> {b} [by {how}]' for a, b, how in self.placed]
        lines += [f'unused  {name} ({why})' for name, why in self.unused]
        lines += [f'zeros   {name} (no such bias in the file)' for name in self.zeros]
        lines += [f'UNKNOWN {name}' for name in self.unknown]
        lines += [f'MISSING {name}' for name in self.missing]
        return '\n'.join(lines)

    def summary(self) -> str:
        """One line of counts."""
        how = Counter(how for *_, how in self.placed)
        return (
            f'{len(self.placed)} layers used ({how["name"]} by name, '
            f'{how["shape"]} by shape, {how["order"]} by order), '
            f'{len(self.unused)} unused, {len(self.unknown)} unknown, '
            f'{len(self.missing)} tensors missing'
        )


def read_released(path: str | os.PathLike) -> dict[str, Tensor]:
    """Reads the tensors of a released checkpoint, without running code from it.

    The released training scripts store the network under ``model``. LAVT's first
    variant and RMSIN store BERT apart under ``bert_model``.

    Args:
        path: File of PyTorch or safetensors.

    Returns:
        Tensors by released name, without ``module.``; BERT's under
        ``text_encoder.``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights.
    """
    content = read_content(path)
    state = find_weights(content)
    for name, value in find_weights(content.get('bert_model')).items():
        state.setdefault(f'text_encoder.{name}', value)
    if not state:
        raise ValueError(f'{path} holds no tensors by name, at the top or in "model"')
    return state


def convert(
    state: dict[str, Tensor], method: str, target: dict[str, Tensor]
) -> tuple[dict[str, Tensor], Report]:
    """Renames and reshapes released weights.

    Args:
        state: Released tensors by name.
        method: One of the names in ``LAYOUTS``.
        target: State dict of our model; only names and shapes are read, so it may be
            on PyTorch's meta device.

    Returns:
        Our state dict, and the report; incomplete if the report says so.

    Raises:
        ValueError: If a tensor has another size than ours, our model lacks a part, or
            layers can be told apart by their order alone and the order isn't that in
            which a network registers them.
    """
    layout = _layout(method, target)
    disorder = find_disorder(state)
    report = Report()
    free = []
    for unit in split_units(state):
        tensors = {k: v for k, v in unit.tensors.items() if not _DERIVED.search(k)}
        if len(tensors) < len(unit.tensors):
            report.unused.append((unit.name, 'a table that the code makes anew'))
        if tensors:
            free.append(Unit(unit.name, unit.index, tensors))
    placements = _by_rule(layout.rules, free)
    free = _without(free, placements)
    for scope, rows in layout.groups:
        part = [unit for unit in free if re.match(scope, unit.name)]
        found = assign(rows, part if disorder else arrange_receptive(part))
        ordered = [p.unit.name for p in found if p.how == 'order']
        if disorder and ordered:
            raise ValueError(
                'the entries are not in the order in which the network registers them '
                f'({disorder} is out of place), and nothing else tells layers such as '
                f'{ordered[0]} apart: save the file with torch.save of the original '
                'state dict'
            )
        free = _without(free, found)
        placements += found
    _sort_out_rest(free, placements, layout.unused, report)
    return _fill(placements, target, report), report


def _layout(method: str, target: dict[str, Tensor]) -> Layout:
    describe = LAYOUTS[method]
    try:
        return describe(target)
    except KeyError as error:  # a size is read off a tensor that isn't there
        (name,) = error.args
        raise ValueError(
            f'the model has no {name}, which weights of {method} need: give a config '
            f'whose model.{name.partition(".")[0]} is that of {method}'
        ) from None


def _by_rule(rules: list[tuple[str, str]], units: list[Unit]) -> list[Placement]:
    """Layers whose names are known for certain."""
    placements = []
    for unit in units:
        matches = ((re.fullmatch(old, unit.name), new) for old, new in rules)
        ours = next((match.expand(new) for match, new in matches if match), None)
        if ours is not None:
            row = Row(ours, unit.kind, unit.shape)
            placements.append(Placement(unit, row, 'name'))
    return placements


def _without(units: list[Unit], placements: list[Placement]) -> list[Unit]:
    used = {p.unit.name for p in placements}
    return [unit for unit in units if unit.name not in used]


def _sort_out_rest(
    free: list[Unit],
    placements: list[Placement],
    patterns: list[tuple[str, str]],
    report: Report,
) -> None:
    """Layers without a row: known to be unused, registered twice, or unknown."""
    owners = {
        tensor.data_ptr(): p.unit.name
        for p in placements
        for tensor in p.unit.tensors.values()
        if tensor.numel() and tensor.device.type != 'meta'
    }
    for unit in free:
        reasons = [why for pattern, why in patterns if re.match(pattern, unit.name)]
        twins = {owners.get(t.data_ptr()) for t in unit.tensors.values()}
        if reasons:
            report.unused.append((unit.name, reasons[0]))
        elif len(twins) == 1 and None not in twins:
            report.unused.append((unit.name, f'the same layer as {twins.pop()}'))
        else:
            report.unknown.append(unit.name)


def _fill(
    placements: list[Placement], target: dict[str, Tensor], report: Report
) -> dict[str, Tensor]:
    new: dict[str, Tensor] = {}
    for placement in placements:
        unit, name = placement.unit, placement.row.target
        if name is None:
            report.unused.append((unit.name, 'takes no part in the released result'))
            continue
        report.placed.append((unit.name, name, placement.how))
        for leaf, tensor in unit.tensors.items():
            key = f'{name}.{leaf}' if name else leaf
            if key not in target:
                report.unknown.append(f'{unit.name}.{leaf}')
                continue
            new[key] = _shaped(f'{unit.name}.{leaf}', tensor, key, target[key])
    for key, tensor in target.items():
        if key in new or key.endswith(('tokenizer_state', 'relative_position_index')):
            continue
        layer, _, leaf = key.rpartition('.')
        if leaf == 'num_batches_tracked' and f'{layer}.weight' in new:
            new[key] = torch.tensor(0)
        elif leaf == 'bias' and f'{layer}.weight' in new:
            report.zeros.append(key)
            new[key] = torch.zeros(tensor.shape)
        else:
            report.missing.append(key)
    return new


def _shaped(name: str, tensor: Tensor, key: str, like: Tensor) -> Tensor:
    """Gives a tensor our shape; patch merging also reads its channels in our order.

    The official one concatenates the neighbours (0, 0), (1, 0), (0, 1), (1, 1) as
    (row, column), each with all its channels; MMSegmentation unfolds, so that for
    each channel the neighbours follow in the order of the rows.
    """
    if tensor.numel() != like.numel():
        raise ValueError(
            f'{name} {tuple(tensor.shape)} does not fit {key} {tuple(like.shape)}: '
            'give the config of the size that the weights were trained with'
        )
    if '.downsample.' in key:
        neighbours = tensor.unflatten(-1, (2, 2, -1))  # (..., column, row, C)
        neighbours = neighbours.transpose(-3, -2).flatten(-3, -2)  # (..., 4, C)
        tensor = neighbours.transpose(-2, -1).flatten(-2)
    return tensor.reshape(like.shape).clone()
