# SPDX-License-Identifier: Apache-2.0
"""Models that are wrapped for distributed training."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> Any:
    """The model itself, where it may be wrapped."""
    return model.module if is_model_wrapper(model) else model
