# SPDX-License-Identifier: Apache-2.0
"""The host's preprocessor, which doesn't wait for what it sends to a GPU."""

from __future__ import annotations

from typing import Any

from mmengine.structures import BaseDataElement
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class NonBlockingPreProcessor(SegDataPreProcessor):
    """``SegDataPreProcessor`` whose copies to a GPU are queued like all of its work.

    The host's copies wait until the GPU has done what it was told before.
    """

    def cast_data(self, data: Any) -> Any:
        if isinstance(data, (Tensor, BaseDataElement)) and self.device.type == 'cuda':
            return data.to(self.device, non_blocking=True)
        return super().cast_data(data)
