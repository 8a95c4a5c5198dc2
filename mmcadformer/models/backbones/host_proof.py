# SPDX-License-Identifier: Apache-2.0
"""What must hold of a host before a fusion is put between its stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from .host_features import StageFeature, find_module, first_tensor, read_feature
from .host_recipes import HostRecipe, host_name

# Of the square that a host is tried on; some take no less than their own size.
_SIZES = (64, 224, 256, 384, 512)


@dataclass
class HostFacts:
    """What one forward pass shows of a host.

    Args:
        channels: C_i of each stage.
        strides: Height and width in pixels of the image of each stage's pixels.
        stage_of: Parameter -> the first stage, from 0, that it has a part in.
        unused: Parameters that no stage and no norm depends on.
    """

    channels: tuple[int, ...] = ()
    strides: tuple[tuple[int, int], ...] = ()
    stage_of: dict[str, int] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


def extra_tokens(host: nn.Module, recipe: HostRecipe) -> int:
    """How many tokens in front of a sequence are no pixels."""
    value = recipe.extra_tokens
    return int(getattr(host, value)) if isinstance(value, str) else value


def prove_host(host: nn.Module, recipe: HostRecipe, size: int | None) -> HostFacts:
    """Runs a host once, in evaluation mode, and looks at its stages.

    The global random state, batch statistics and the host's mode stay as they are.

    Args:
        host: With random or other weights; on the meta device only its shapes are
            looked at.
        recipe: Where its stages are.
        size: Of the image, which is square and black. None tries some.

    Raises:
        ValueError: By name of the host: a module isn't there, a stage is run not once
            or out of order, its output is no feature, or the host doesn't run at all.
    """
    name = host_name(host)
    try:
        modules = [find_module(host, path) for path in recipe.stages]
    except AttributeError as error:
        raise ValueError(f'backbone.host: {name} has {error}') from None
    with _trial(host):
        runs, side = _run(host, recipe, [module for _, module in modules], size)
    _check_runs(name, [path for path, _ in modules], runs)
    features = [feature for _, feature, _ in runs]
    traced: dict[str, Any] = {}
    if not _is_empty(host):
        maps = [_normed(host, recipe, i, feature) for i, feature in enumerate(features)]
        traced = _trace(host, [feature.pixels for feature in features], maps)
    return HostFacts(
        channels=tuple(feature.pixels.shape[2] for feature in features),
        strides=tuple(
            (round(side / f.hw_shape[0]), round(side / f.hw_shape[1])) for f in features
        ),
        **traced,
    )


def _run(
    host: nn.Module, recipe: HostRecipe, stages: Sequence[nn.Module], size: int | None
) -> tuple[list[tuple[int, StageFeature, Tensor]], int]:
    """Number, feature and tensor of each run of a stage, and the image's side."""
    errors: list[Exception] = []
    extra = extra_tokens(host, recipe)
    for side in (size,) if size is not None else _SIZES:
        runs: list[tuple[int, StageFeature, Tensor]] = []
        handles = [
            stage.register_forward_hook(
                _Note(i, runs, recipe.layout, extra, side),
                prepend=True,
                with_kwargs=True,
            )
            for i, stage in enumerate(stages)
        ]
        try:
            _call(host, side)
            return runs, side
        except Exception as error:  # what a host raises at a size that it can't take
            errors.append(error)
        finally:
            for handle in handles:
                handle.remove()
    reason = str(errors[-1]).strip().splitlines()
    raise ValueError(
        f'backbone.host: {host_name(host)} cannot be run on an image of {side} x '
        f'{side} px ({reason[0] if reason else type(errors[-1]).__name__}). Name a '
        'size that it takes by backbone.probe_size'
    ) from errors[-1]


def _is_empty(host: nn.Module) -> bool:
    """Whether a host has shapes, but no weights."""
    return next(host.parameters()).device.type == 'meta'


def _call(host: nn.Module, side: int) -> None:
    """Runs a host on a black image; one without weights by shapes alone.

    Those on the meta device become PyTorch's fake tensors, since parts of hosts ask
    their device for what 'meta' has not.
    """
    if not _is_empty(host):
        device = next(host.parameters()).device
        host(torch.zeros(1, 3, side, side, device=device))
        return
    with FakeTensorMode(), torch.device('cpu'), _remembering_nothing():
        tensors = chain(host.named_parameters(), host.named_buffers())
        fake = {
            name: torch.empty(value.shape, dtype=value.dtype) for name, value in tensors
        }
        functional_call(host, fake, (torch.zeros(1, 3, side, side),))


@contextmanager
def _remembering_nothing() -> Iterator[None]:
    """Keeps parts of transformers from remembering tensors without values.

    Some remember a table for each size, for all models of the process, unless PyTorch
    traces; ``torch.export`` says by this flag that it does.
    """
    flags = vars(torch.compiler)
    before = flags.get('_is_compiling_flag', False)
    flags['_is_compiling_flag'] = True
    try:
        yield
    finally:
        flags['_is_compiling_flag'] = before


class _Note:
    """A hook that notes what a stage puts out."""

    def __init__(
        self, index: int, runs: list, layout: str, extra: int, side: int
    ) -> None:
        self.index, self.runs = index, runs
        self.layout, self.extra, self.side = layout, extra, side

    def __call__(
        self, module: nn.Module, args: tuple, kwargs: dict, output: Any
    ) -> None:
        tensor = first_tensor(output)
        if tensor is None:
            raise ValueError(f'stage {self.index + 1} puts out no tensor')
        near = [*_flat(output), *args, *kwargs.values()]
        feature = read_feature(
            tensor, self.layout, self.extra, near, (self.side, self.side)
        )
        self.runs.append((self.index, feature, tensor))


def _flat(output: Any) -> tuple:
    return tuple(output) if isinstance(output, (tuple, list)) else ()


def _check_runs(name: str, paths: Sequence[str], runs: Sequence[tuple]) -> None:
    order = [index for index, *_ in runs]
    for index, path in enumerate(paths):
        if order.count(index) != 1:
            raise ValueError(
                f'backbone.host: {name} runs {path}, stage {index + 1}, '
                f'{order.count(index)} times in a forward pass, not once'
            )
    if order != sorted(order):
        raise ValueError(
            f'backbone.host: {name} runs its stages in the order '
            f'{[paths[i] for i in order]}'
        )


def _normed(
    host: nn.Module, recipe: HostRecipe, index: int, feature: StageFeature
) -> Tensor:
    """What goes to the decoder if the fusion changes nothing."""
    path = recipe.norms[index] if recipe.norms is not None else None
    if path is None:
        return feature.pixels
    try:
        _, norm = find_module(host, path)
    except AttributeError as error:
        raise ValueError(f'backbone.host: {host_name(host)} has {error}') from None
    with _trial(host):
        return norm(feature.in_host_layout(feature.pixels, with_extra=False))


@contextmanager
def _trial(host: nn.Module) -> Iterator[None]:
    """Evaluation mode with gradients, without checkpoints, which hide parameters."""
    modes = {module: module.training for module in host.modules()}
    saving = [module for module in host.modules() if getattr(module, 'with_cp', False)]
    for module in saving:
        vars(module)['with_cp'] = False
    host.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for module in saving:
            vars(module)['with_cp'] = True


def _trace(
    host: nn.Module, features: Sequence[Tensor], maps: Sequence[Tensor]
) -> dict[str, Any]:
    """``stage_of`` and ``unused`` of :class:`HostFacts`."""
    names: dict[Tensor, str] = {p: name for name, p in host.named_parameters()}
    stage_of: dict[str, int] = {}
    for outputs in (features, maps):
        for i, output in enumerate(outputs):
            for parameter in _parameters_behind(output):
                if parameter in names:
                    stage_of.setdefault(names[parameter], i)
    unused = [
        name
        for parameter, name in names.items()
        if parameter.requires_grad and name not in stage_of
    ]
    return dict(stage_of=stage_of, unused=tuple(unused))


def _parameters_behind(output: Tensor) -> set[Tensor]:
    """Parameters that an output depends on, from the graph of its gradient."""
    todo, seen, found = [output.grad_fn], set(), set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            found.add(node.variable)
        todo.extend(following for following, _ in node.next_functions)
    return found
