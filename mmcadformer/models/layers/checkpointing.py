# SPDX-License-Identifier: Apache-2.0
"""Blocks that trade time for memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(container: nn.Module) -> None:
    """Has each child of a container keep only its input, and run again backwards.

    Within the call of the child, so that hooks on it run once: checkpoints of the
    hosts' own often go around whole stages, and hooks in them would run twice.
    """
    for block in container.children():
        vars(block)['forward'] = CheckpointedForward(block)


class CheckpointedForward:
    """A block's forward pass; an object and no closure, so that copies call their own.

    Args:
        block: Its class's ``forward`` is what runs.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        forward = partial(type(self.block).forward, self.block)
        if self.block.training and torch.is_grad_enabled():
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)
        return forward(*args, **kwargs)
