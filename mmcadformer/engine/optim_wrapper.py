# SPDX-License-Identifier: Apache-2.0
"""Optimizer wrappers that skip steps which aren't finite; bfloat16 without a scaler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper as HostAmpOptimWrapper
from mmengine.optim import OptimWrapper as HostOptimWrapper
from mmengine.runner.amp import autocast
from mmseg.registry import OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..utils.stack import parse_version
from .device_history import log_scalar

# Below this loss scale, gradients in float16 that overflow are no matter of scaling.
_LEAST_SCALE = 1.0


class FiniteSteps(HostOptimWrapper):
    """Part of an optimizer wrapper that skips steps with NaN or infinite values.

    Where the loss or a gradient isn't finite, weights, optimizer state and statistics
    of normalisation stay as they were. Whether it is, is decided where the gradients
    are: no value is read by the host, as long as the optimizer is one of PyTorch's that
    take the decision on the device (Adam, AdamW, SGD; they are switched to their fused
    form for it, the fastest, unless the config names another).

    In distributed training all processes decide the same: a loss that isn't finite
    makes all gradients of its process NaN, which averaging gives to all.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._params = [p for g in self.optimizer.param_groups for p in g['params']]
        self._counts: Tensor | None = None
        self._bad_loss: Tensor | None = None
        self._norms: list[Tensor] | None = None
        self._norms_before: list[Tensor] = []
        if self._params:
            _fuse(self.optimizer, self._params)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Around the forward pass, which changes statistics of normalisation.

        Args:
            model: The training model.
        """
        if self._norms is None:
            self._norms = [
                buffer
                for module in model.modules()
                if isinstance(module, _NormBase)
                for buffer in module.buffers(recurse=False)
            ]
        if self._inner_count % self._accumulative_counts == 0:
            self._norms_before = [buffer.clone() for buffer in self._norms]
        with super().optim_context(model):
            yield

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss of a part of the step; NaN in all gradients if it isn't finite.

        Args:
            loss: Scalar.
        """
        loss = super().scale_loss(loss)
        finite = torch.isfinite(loss.detach())
        self._bad_loss = ~finite if self._bad_loss is None else self._bad_loss | ~finite
        return loss * torch.where(finite, 1.0, torch.nan)

    def step(self, **kwargs: Any) -> None:
        """Update the parameters, if all is finite.

        Args:
            **kwargs: Arguments of the optimizer's own method.
        """
        gradients = [p.grad for p in self._params if p.grad is not None]
        bad = self._bad_loss if self._bad_loss is not None else torch.tensor(False)
        if gradients:
            largest = torch._foreach_norm(gradients, float('inf'))
            bad = ~torch.isfinite(torch.stack(largest)).all()
        self._count(bad, self._counts_as_failure(bad))
        self._bad_loss = None
        self._step_unless(bad, super().step, **kwargs)
        for buffer, before in zip(self._norms or (), self._norms_before, strict=False):
            buffer.copy_(torch.where(bad, before, buffer))

    def _clip_grad(self) -> None:
        """Clip the gradients; their norm stays on the device for the log."""
        params = [p for p in self._params if p.grad is not None]
        if not params:
            return
        norm = self.clip_func(params, **self.clip_grad_kwargs)
        if norm is not None:  # as that of clipping by value
            log_scalar(self.message_hub, f'train/{self.grad_name}', norm)

    def _step_unless(self, bad: Tensor, step: Any, **kwargs: Any) -> None:
        if not all(g.get('fused') for g in self.optimizer.param_groups):
            if not bad:
                step(**kwargs)
            return
        # As GradScaler does it: the kernels look at this number.
        self.optimizer.found_inf = bad.float()
        try:
            step(**kwargs)
        finally:
            del self.optimizer.found_inf

    def _counts_as_failure(self, bad: Tensor) -> Tensor:
        return bad

    def _count(self, bad: Tensor, failure: Tensor) -> None:
        """Skipped steps, those in a row, and the longest row, all on the device."""
        if self._counts is None:
            self._counts = torch.zeros(3, dtype=torch.int64, device=bad.device)
        skipped, row, longest = self._counts
        row = torch.where(failure, row + 1, torch.where(bad, row, 0))
        longest = torch.maximum(longest, row)
        self._counts = torch.stack((skipped + failure, row, longest))

    def skipped_steps(self) -> Tensor:
        """Int64 (2,) on the device, since the last call: how many, most in a row."""
        if self._counts is None:
            return torch.zeros(2, dtype=torch.int64)
        result = self._counts[::2].clone()
        self._counts[0] = 0
        self._counts[2] = self._counts[1]
        return result


def _fuse(optimizer: torch.optim.Optimizer, params: list[Tensor]) -> None:
    """Has an optimizer of PyTorch do a step in kernels that can leave it out."""
    groups = optimizer.param_groups
    free = not any(group.get(way) for group in groups for way in _OTHER_WAYS)
    if type(optimizer) not in _FUSED or not free:
        return
    kinds = {p.device.type for p in params}
    if kinds not in _FUSING or 'fused' not in groups[0]:
        return
    vars(optimizer)['_step_supports_amp_scaling'] = True  # GradScaler asks
    for group in groups:
        group['fused'] = True


_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
_OTHER_WAYS = ('foreach', 'capturable', 'differentiable')
# Kinds of devices with such kernels, of which a model's parameters are on one.
_FUSING = [{'cuda'}]
if parse_version(torch.__version__) >= (2, 4):
    _FUSING.append({'cpu'})


@OPTIM_WRAPPERS.register_module()
class OptimWrapper(FiniteSteps):
    """MMEngine's wrapper with :class:`FiniteSteps`.

    It takes the place of MMEngine's in every config of the scope ``mmseg``.
    """


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(FiniteSteps, HostAmpOptimWrapper):
    """MMEngine's wrapper with :class:`FiniteSteps`, in place of it.

    GradScaler skips steps on its own while it looks for a scale. They aren't counted,
    unless the loss itself wasn't finite or the scale can't be what is wrong.
    """

    def _step_unless(self, bad: Tensor, step: Any, **kwargs: Any) -> None:
        step(**kwargs)

    def _counts_as_failure(self, bad: Tensor) -> Tensor:
        scale = self.loss_scaler._scale
        if scale is None:  # no scaling: nothing to look for
            return bad
        at_floor = (scale <= _LEAST_SCALE).reshape(())
        loss = self._bad_loss if self._bad_loss is not None else at_floor
        return bad & (at_floor | loss)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Trains under bfloat16 autocast, on CUDA and on CPU.

    MMEngine's ``AmpOptimWrapper`` scales the loss whatever the type, which
    bfloat16 with the range of float32 doesn't need, waits for the device at every
    step to see whether the scale was too large, and refuses to run on a CPU.

    Args:
        **kwargs: Keys of :class:`mmengine.optim.OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass.

        Args:
            model: The training model.
        """
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
