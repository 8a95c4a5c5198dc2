# SPDX-License-Identifier: Apache-2.0
"""The features of a host's stage as a sequence of pixels, and back to its own form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..fusions.base import HW


@dataclass
class StageFeature:
    """V_i of a host, as a fusion takes it.

    Args:
        pixels: (B, H*W, C_i).
        hw_shape: H and W.
        layout: What the host has it in: 'nchw', 'nhwc' or 'sequence'.
        extra: Tokens in front of the pixels (B, K, C_i), if any.
    """

    pixels: Tensor
    hw_shape: HW
    layout: str
    extra: Tensor | None = None

    def in_host_layout(self, pixels: Tensor, with_extra: bool = True) -> Tensor:
        """Other pixels (B', H*W, C_i) in the form of the host.

        B' may be more than B, one image for many expressions.
        """
        if self.layout == 'nchw':
            pixels = pixels.transpose(1, 2).unflatten(2, tuple(self.hw_shape))
            return pixels.contiguous()
        if self.layout == 'nhwc':
            return pixels.unflatten(1, tuple(self.hw_shape))
        if self.extra is None or not with_extra:
            return pixels
        extra = self.extra
        if extra.shape[0] != pixels.shape[0]:
            extra = extra.expand(pixels.shape[0], -1, -1)
        return torch.cat((extra.to(pixels.dtype), pixels), dim=1)

    def to_map(self, features: Tensor) -> Tensor:
        """Features in the form of the host, without extra tokens, as (B, C_i, H, W)."""
        if self.layout == 'nchw':
            return features.contiguous()
        if self.layout == 'nhwc':
            return features.permute(0, 3, 1, 2).contiguous()
        return features.transpose(1, 2).unflatten(2, tuple(self.hw_shape)).contiguous()


def read_feature(
    tensor: Tensor,
    layout: str,
    extra_tokens: int,
    near: Iterable[Any],
    image_size: HW,
    stride: HW | None = None,
) -> StageFeature:
    """Splits what a stage puts out.

    Args:
        tensor: (B, C, H, W) or (B, H, W, C), as ``layout`` says, or a sequence
            (B, K + H*W, C).
        layout: 'nchw' or 'nhwc'; a sequence is one whatever it says.
        extra_tokens: K.
        near: What went in and out beside it, where a sequence's H and W may be.
        image_size: Of the network's input, from which they follow otherwise.
        stride: Height and width in pixels of the input of one position. None: the
            input is square, and so is the feature.

    Raises:
        ValueError: The number of pixels belongs to no H and W.
    """
    if tensor.dim() == 4 and layout == 'nchw':
        height, width = tensor.shape[2:]
        return StageFeature(tensor.flatten(2).transpose(1, 2), (height, width), layout)
    if tensor.dim() == 4:
        height, width = tensor.shape[1:3]
        return StageFeature(tensor.flatten(1, 2), (height, width), layout)
    if tensor.dim() != 3:
        raise ValueError(f'a feature of shape {tuple(tensor.shape)} has no pixels')
    extra = tensor[:, :extra_tokens] if extra_tokens else None
    pixels = tensor[:, extra_tokens:] if extra_tokens else tensor
    count = pixels.shape[1]
    shape = _size_beside(near, count) or _size_by_stride(image_size, stride, count)
    return StageFeature(pixels, shape, 'sequence', extra)


def first_tensor(value: Any) -> Tensor | None:
    """A tensor, or the first one in a tuple or list, however deep."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (tuple, list)):
        found = (first_tensor(part) for part in value)
        return next((tensor for tensor in found if tensor is not None), None)
    return None


def with_first_tensor(value: Any, tensor: Tensor) -> Any:
    """What :func:`first_tensor` looked into, with another tensor in its place."""
    if isinstance(value, Tensor):
        return tensor
    parts = list(value)
    for i, part in enumerate(parts):
        if first_tensor(part) is not None:
            parts[i] = with_first_tensor(part, tensor)
            break
    return type(value)(parts) if isinstance(value, list) else tuple(parts)


def find_module(root: nn.Module, path: str) -> tuple[str, nn.Module]:
    """The module at a path, '-1' being the last child, and its full name.

    Raises:
        AttributeError: There is none.
    """
    module = root
    names: list[str] = []
    for part in path.split('.'):
        children = dict(module.named_children())
        name = list(children)[-1] if part == '-1' and children else part
        if isinstance(getattr(module, name, None), nn.Module):  # also a property
            children.setdefault(name, getattr(module, name))
        if name not in children:
            raise AttributeError(
                f'no module {path!r}; {".".join(names) or "the host"} has '
                f'{", ".join(children) or "no children"}'
            )
        names.append(name)
        module = children[name]
    return '.'.join(names), module


def _is_number(value: Any) -> bool:
    """Sizes are numbers, or tensors without axes while a network is traced."""
    if isinstance(value, Tensor):
        return value.dim() == 0
    return isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool)


def _fits(shape: Sequence[Any], count: Any) -> bool:
    return all(map(_is_number, shape)) and bool(shape[0] * shape[1] == count)


def _size_beside(near: Iterable[Any], count: int) -> HW | None:
    """H and W as a pair or as two numbers in a row, if their product is right."""
    values = list(near)
    for value in values:
        if isinstance(value, (tuple, list)) and len(value) == 2 and _fits(value, count):
            return value[0], value[1]
    for pair in zip(values, values[1:], strict=False):
        if _fits(pair, count):
            return pair
    return None


def _size_by_stride(image_size: HW, stride: HW | None, count: int) -> HW:
    """H and W of so many pixels, from the image: sides rounded up, or down."""
    height, width = image_size
    if stride is None:
        side = math.isqrt(count)
        candidates = [(side, side)]
    else:
        up = (-(-height // stride[0]), -(-width // stride[1]))
        down = (height // stride[0], width // stride[1])
        candidates = [up, down, (up[0], down[1]), (down[0], up[1])]
    for rows, columns in candidates:
        if rows * columns == count:
            return rows, columns
    raise ValueError(
        f'the {count} pixels of a stage do not cover an image of {height} x {width} '
        'px: take extra tokens off by recipe.extra_tokens, or give images whose sides '
        'are multiples of the patches'
    )
