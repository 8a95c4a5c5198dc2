# SPDX-License-Identifier: Apache-2.0
"""What must hold of a backbone under a fusion, tried out."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..models import ReferringBackbone
from ..models.fusions import FusionOutput, StageFusion

EXACT = 1e-6
NEAR = 1e-4
"""Largest difference of results that are the same but for the order of sums."""


class Finding(NamedTuple):
    """One thing that was tried."""

    name: str
    passed: bool
    detail: str


class IdentityFusion(StageFusion):
    """Hands on what it gets."""

    def forward(
        self,
        visual: Tensor,
        hw_shape: tuple[int, int],
        text: Tensor,
        text_mask: Tensor,
        stage_input: Tensor | None = None,
    ) -> FusionOutput:
        return FusionOutput(visual, visual, text)


def check_backbone(
    backbone: ReferringBackbone,
    text: Tensor,
    text_mask: Tensor,
    size: tuple[int, int] = (64, 64),
    odd_size: tuple[int, int] = (70, 51),
) -> list[Finding]:
    """Tries a backbone on random images.

    Args:
        backbone: In evaluation mode afterwards; its weights stay as they are.
        text, text_mask: Features and mask of two expressions, as the text encoder
            gives them, of which the second one is padded.
        size, odd_size: Height and width of the images.

    Returns:
        What was tried. An odd size that the host refuses with a message passes.
    """
    backbone.eval()
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    images = images.to(text.device)
    inputs = (images, text, text_mask)
    return [
        _check_identity(backbone, *inputs),
        _check_gradients(backbone, *inputs),
        _check_language(backbone, *inputs),
        _check_mates(backbone, *inputs),
        _check_many_expressions(backbone, *inputs),
        _check_copies(backbone, *inputs),
        _check_odd_size(backbone, odd_size, text, text_mask),
    ]


@torch.no_grad()
def _check_identity(
    backbone: ReferringBackbone, images: Tensor, text: Tensor, mask: Tensor
) -> Finding:
    """With fusions that change nothing, the host gives what it gives alone."""
    alone = _tensors(backbone.host(images))
    seen: list[Any] = []
    handle = backbone.host.register_forward_hook(
        lambda _module, _args, output: seen.append(output)
    )
    try:
        with _without_fusions(backbone):
            maps, _ = backbone(images, text, mask)
    finally:
        handle.remove()
    fused = _tensors(seen[0])
    worst = _difference(alone, fused)
    same = 0
    for i, path in enumerate(backbone.recipe.norms or ()):
        own = [m for m in alone if path and i < len(maps) and m.shape == maps[i].shape]
        if own:
            worst = max(worst, min(float((m - maps[i]).abs().max()) for m in own))
            same += 1
    detail = f"largest difference {worst:.1e}; {same} maps are the host's own"
    return Finding('identity', worst <= EXACT, detail)


def _check_gradients(
    backbone: ReferringBackbone, images: Tensor, text: Tensor, mask: Tensor
) -> Finding:
    """Every parameter that trains gets a gradient."""
    before = {name: p.grad for name, p in backbone.named_parameters()}
    backbone.zero_grad(set_to_none=True)
    maps, last_text = backbone(images, text, mask)
    loss = sum(
        (m * torch.linspace(0, 1, m.shape[1]).view(-1, 1, 1).to(m)).square().sum()
        for m in maps
    )
    if backbone.text_output:
        loss = loss + last_text.square().sum()
    loss.backward()
    lacking = [
        name
        for name, parameter in backbone.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    for name, parameter in backbone.named_parameters():
        parameter.grad = before[name]
    count = sum(p.requires_grad for p in backbone.parameters())
    detail = f'{count - len(lacking)} of {count} parameters'
    if lacking:
        detail += f', not {", ".join(lacking[:3])}'
    return Finding('gradients', not lacking, detail)


@torch.no_grad()
def _check_language(
    backbone: ReferringBackbone, images: Tensor, text: Tensor, mask: Tensor
) -> Finding:
    """Another expression gives other maps at every stage."""
    maps, _ = backbone(images, text, mask)
    others, _ = backbone(images, text.flip(0), mask.flip(0))
    deaf = [
        i + 1
        for i, (one, other) in enumerate(zip(maps, others, strict=True))
        if torch.equal(one, other)
    ]
    detail = f'not in maps {deaf}' if deaf else 'in every map'
    return Finding('language arrives', not deaf, detail)


@torch.no_grad()
def _check_mates(
    backbone: ReferringBackbone, images: Tensor, text: Tensor, mask: Tensor
) -> Finding:
    """Padding and the others of a batch change nothing."""
    together, _ = backbone(images, text, mask)
    worst = 0.0
    for i in range(2):
        kept = mask[i].reshape(-1, mask.shape[-1]).any(dim=0)
        own, own_mask = text[i : i + 1, ..., kept, :], mask[i : i + 1, ..., kept]
        alone, _ = backbone(images[i : i + 1], own, own_mask)
        worst = max(worst, _difference([m[i : i + 1] for m in together], alone))
    return Finding('alone as in a batch', worst <= NEAR, f'{worst:.1e}')


@torch.no_grad()
def _check_many_expressions(
    backbone: ReferringBackbone, images: Tensor, text: Tensor, mask: Tensor
) -> Finding:
    """One image for two expressions is the same as that image twice."""
    once, _ = backbone(images[:1], text, mask)
    twice, _ = backbone(images[:1].repeat(2, 1, 1, 1), text, mask)
    worst = _difference(once, twice)
    return Finding('one image, two expressions', worst <= NEAR, f'{worst:.1e}')


@torch.no_grad()
def _check_copies(
    backbone: ReferringBackbone, images: Tensor, text: Tensor, mask: Tensor
) -> Finding:
    """Copies fuse by their own weights, as an average of weights has to."""
    expected, _ = backbone(images, text, mask)
    faults = []
    copies = dict(deepcopy=copy.deepcopy(backbone))
    if _can_be_pickled(backbone.host):
        copies['pickle'] = pickle.loads(pickle.dumps(backbone))
    for name, twin in copies.items():
        if _difference(expected, twin(images, text, mask)[0]) > EXACT:
            faults.append(f'{name} gives other maps')
        for parameter in twin.fusions.parameters():
            parameter.add_(0.1)
        if _difference(expected, twin(images, text, mask)[0]) <= EXACT:
            faults.append(f'{name} fuses by the weights of the original')
    if _difference(expected, backbone(images, text, mask)[0]) > EXACT:
        faults.append('the original changed with its copies')
    return Finding('copies', not faults, '; '.join(faults) or ' and '.join(copies))


def _can_be_pickled(host: torch.nn.Module) -> bool:
    """Not after transformers 5 has put functions of its own into it."""
    bare = copy.deepcopy(host)
    for module in bare.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [k for k, hook in hooks.items() if hasattr(hook, 'owner')]:
                del hooks[key]
    try:
        pickle.dumps(bare)
    except (AttributeError, TypeError, pickle.PicklingError):
        return False
    return True


@torch.no_grad()
def _check_odd_size(
    backbone: ReferringBackbone, size: tuple[int, int], text: Tensor, mask: Tensor
) -> Finding:
    """Any size of image works, or is refused."""
    name = f'{size[0]} x {size[1]} px'
    images = torch.rand(2, 3, *size, device=text.device)
    try:
        maps, _ = backbone(images, text, mask)
    except ValueError as error:
        return Finding(name, True, f'refused: {error}')
    except Exception as error:  # what a host raises, without saying which host
        return Finding(name, False, f'{type(error).__name__}: {error}')
    shapes = ', '.join(f'{m.shape[2]} x {m.shape[3]}' for m in maps)
    finite = all(bool(m.isfinite().all()) for m in maps)
    return Finding(name, finite, f'maps of {shapes}')


@contextmanager
def _without_fusions(backbone: ReferringBackbone) -> Iterator[None]:
    fusions = list(backbone.fusions)
    for i, fusion in enumerate(fusions):
        backbone.fusions[i] = IdentityFusion()
        backbone.fusions[i].needs_stage_input = fusion.needs_stage_input
    try:
        yield
    finally:
        for i, fusion in enumerate(fusions):
            backbone.fusions[i] = fusion


def _tensors(output: Any) -> list[Tensor]:
    """All tensors that a host returns."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, (tuple, list)):
        return [tensor for part in output for tensor in _tensors(part)]
    return []


def _difference(one: Any, other: Any) -> float:
    pairs = zip(one, other, strict=True)
    return max(float((a.float() - b.float()).abs().max()) for a, b in pairs)


__all__ = ['EXACT', 'NEAR', 'Finding', 'IdentityFusion', 'check_backbone']
