# SPDX-License-Identifier: Apache-2.0
"""Mixed precision without a loss scaler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


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
