# SPDX-License-Identifier: Apache-2.0
"""ONNX files by onnxruntime."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import INPUTS, Runtime


class OnnxRuntime(Runtime):
    """Runs .onnx files by onnxruntime, in float32."""

    program = 'onnxruntime'
    name = 'onnx'

    def _open(self) -> None:
        if self.path.suffix != '.onnx':
            raise ValueError('onnxruntime runs .onnx files')
        try:
            import onnxruntime
        except ImportError:
            raise ImportError(
                "ONNX files are run by onnxruntime: pip install -e '.[export]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Kept for the next run it takes as much again, and sizes differ by the run.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(
            str(self.path), options, providers=['CPUExecutionProvider']
        )

    def text(self, name: str) -> str:
        return self._session.get_modelmeta().custom_metadata_map[name]

    def check_amp(self, amp: str | None) -> None:
        if amp is not None:
            raise ValueError(
                f'{self.path}: onnxruntime computes in float32, not in {amp}; OpenVINO '
                'computes in bf16, too (--runtime openvino)'
            )

    def __call__(
        self,
        image: Tensor,
        input_ids: Tensor,
        text_mask: Tensor,
        amp: str | None = None,
    ) -> list[Tensor]:
        self.check_amp(amp)
        inputs = (image, input_ids, text_mask)
        feed = {k: v.numpy() for k, v in zip(INPUTS, inputs, strict=True)}
        return [torch.from_numpy(output) for output in self._session.run(None, feed)]
