# SPDX-License-Identifier: Apache-2.0
"""Logged values that stay on the device until somebody reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

# Values that wait at most: a GPU keeps 512 bytes for each.
_MOST_WAITING = 10_000


class DeviceHistory(HistoryBuffer):
    """MMEngine's history of a logged value, which takes tensors as they are.

    A reader of any statistic makes the program wait for the device, once for all
    values since the last reading, and not the training at every step. Copies and
    checkpoints hold MMEngine's class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._waiting: list[tuple[Tensor, int]] = []
        super().__init__(*args, **kwargs)

    def update(self, log_val: float | Tensor, count: int = 1) -> None:
        """Adds a value.

        Args:
            log_val: Number, or tensor with one element.
            count: What it counts for in means.
        """
        if not isinstance(log_val, Tensor):
            super().update(log_val, count)
            return
        self._waiting.append((log_val.detach().reshape(()), count))
        if len(self._waiting) > _MOST_WAITING:
            self._read()

    @property
    def _log_history(self) -> np.ndarray:
        self._read()
        return self._logs

    @_log_history.setter
    def _log_history(self, values: np.ndarray) -> None:
        self._logs = values

    @property
    def _count_history(self) -> np.ndarray:
        self._read()
        return self._counts

    @_count_history.setter
    def _count_history(self, values: np.ndarray) -> None:
        self._counts = values

    def _read(self) -> None:
        if not self._waiting:
            return
        tensors, counts = zip(*self._waiting, strict=True)
        self._waiting = []
        values = torch.stack([tensor.double() for tensor in tensors]).tolist()
        self._logs = np.append(self._logs, values)[-self.max_length :]
        self._counts = np.append(self._counts, counts)[-self.max_length :]

    def __reduce_ex__(self, protocol: Any) -> Any:
        host = HistoryBuffer(self._log_history, self._count_history, self.max_length)
        return HistoryBuffer, (), host.__getstate__()


def log_scalar(hub: MessageHub, key: str, value: float | Tensor) -> None:
    """Adds to a logged value as ``hub.update_scalar``, without waiting for a device.

    Args:
        hub: The run's.
        key: Name of the value.
        value: Number, or tensor with one element.
    """
    history = hub.log_scalars.get(key)
    if not isinstance(history, DeviceHistory):
        known = ((), ()) if history is None else history.data
        hub.log_scalars[key] = history = DeviceHistory(*known)
        hub._set_resumed_keys(key, True)
    history.update(value)
