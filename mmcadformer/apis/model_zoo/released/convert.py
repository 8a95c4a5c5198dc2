# SPDX-License-Identifier: Apache-2.0
"""From a released state dict to ours, with an account of every tensor."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

from ....utils.checkpoint import find_weights, read_content
from ....utils.config import building
from .rules import Rules


@dataclass
class Report:
    """What became of every released tensor, and what ours lacks.

    Attributes:
        placed: Released name and ours.
        unused: Released name, and why it isn't needed.
        extra: Released names that nothing is known about, left out as asked for.
        zeros: Biases of ours that the released layer doesn't have.
        problems: What keeps the file from being converted.
    """

    placed: list[tuple[str, str]] = field(default_factory=list)
    unused: list[tuple[str, str]] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    zeros: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'used    {a} -> {b}' for a, b in self.placed]
        lines += [f'unused  {name} ({why})' for name, why in self.unused]
        lines += [f'extra   {name} (left out)' for name in self.extra]
        lines += [f'zeros   {name} (no such bias in the file)' for name in self.zeros]
        return '\n'.join(lines + self.problems)

    def summary(self) -> str:
        """One line of counts."""
        return (
            f'{len(self.placed)} tensors used, {len(self.unused)} unused, '
            f'{len(self.problems)} unknown, missing or of another shape'
        )


def read_released(path: str | os.PathLike, plain: bool = False) -> dict[str, Tensor]:
    """Reads the tensors of a released checkpoint, without running code from it.

    The released training scripts store the network under ``model``. LAVT's first
    variant and RMSIN store BERT apart under ``bert_model``.

    Args:
        path: File of PyTorch or safetensors.
        plain: See :func:`~mmcadformer.utils.checkpoint.read_content`.

    Returns:
        Tensors by released name, without ``module.``; BERT's under
        ``text_encoder.``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights, or two of one name.
    """
    content = read_content(path, mapped=True, plain=plain)
    bert = find_weights(content.get('bert_model'))
    state: dict[str, Tensor] = {}
    for stored, value in (
        *find_weights(content).items(),
        *((f'bert_model.{name}', value) for name, value in bert.items()),
    ):
        name = stored.removeprefix('module.')
        if name.startswith('bert_model.'):
            inner = name.removeprefix('bert_model.').removeprefix('module.')
            name = f'text_encoder.{inner}'
        if name in state:
            raise ValueError(f'{path} holds {name} twice')
        state[name] = value
    if not state:
        raise ValueError(f'{path} holds no tensors by name, at the top or in "model"')
    return state


def convert(
    state: dict[str, Tensor],
    rules: Rules,
    target: dict[str, Tensor],
    allow_extra: bool = False,
) -> tuple[dict[str, Tensor], Report]:
    """Renames and reshapes released weights.

    Args:
        state: Released tensors by name, in any order.
        rules: Of the method.
        target: State dict of our model; only names and shapes are read, so it may be
            on PyTorch's meta device.
        allow_extra: Leave out tensors that nothing is known about.

    Returns:
        Our state dict, and the report; of no use if that tells of problems.
    """
    report = Report()
    new: dict[str, Tensor] = {}
    for name, tensor in state.items():
        rule = rules.place(name)
        ours = '' if rule is None else rule.ours
        if rule is not None and ours is None:
            report.unused.append((name, rule.why))
        elif ours not in target and allow_extra:
            report.extra.append(name)
        elif ours not in target:
            lacking = f' (the model has no {ours})' if ours else ''
            report.problems.append(f'unknown: {name}{lacking}')
        elif ours in new:
            report.problems.append(f'unknown: {name} (another tensor is {ours})')
        else:
            report.placed.append((name, ours))
            new[ours] = tensor
            if _squeezed(tensor) != _squeezed(target[ours]):
                shapes = f'{tuple(tensor.shape)} is not {tuple(target[ours].shape)}'
                report.problems.append(f'shape:   {name} -> {ours}: {shapes}')
    for name in target.keys() - new.keys():
        if name.endswith('bias') and any(p.fullmatch(name) for p in rules.zeros):
            report.zeros.append(name)
            new[name] = torch.zeros(target[name].shape)
        elif name != 'text_encoder.tokenizer_state':  # in no released file
            report.problems.append(f'missing: {name}')
    if not report.problems:
        new = {k: _shaped(k, v, target[k]) for k, v in new.items()}
    return new, report


def _squeezed(tensor: Tensor) -> list[int]:
    """Shape without ones, in which 1x1 convolutions and linear layers agree."""
    return [size for size in tensor.shape if size != 1]


def _shaped(key: str, tensor: Tensor, like: Tensor) -> Tensor:
    """Gives a tensor our shape; patch merging also reads its channels in our order.

    The official one concatenates the neighbours (0, 0), (1, 0), (0, 1), (1, 1) as
    (row, column), each with all its channels; MMSegmentation unfolds, so that for
    each channel the neighbours follow in the order of the rows.
    """
    if '.downsample.' in key:
        neighbours = tensor.unflatten(-1, (2, 2, -1))  # (..., column, row, C)
        neighbours = neighbours.transpose(-3, -2).flatten(-3, -2)  # (..., 4, C)
        tensor = neighbours.transpose(-2, -1).flatten(-2)
    return tensor.reshape(like.shape).clone()


def build_empty_model(config: Config) -> torch.nn.Module:
    """Builds a model without numbers, on PyTorch's meta device: names and shapes."""
    init_default_scope('mmseg')
    # MMSegmentation reads numbers from torch.linspace while it builds Swin.
    linspace = functools.partial(torch.linspace, device='cpu')
    with torch.device('meta'), mock.patch.object(torch, 'linspace', linspace):
        with building('model', config.filename):
            return MODELS.build(config.model)
