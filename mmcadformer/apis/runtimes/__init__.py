# SPDX-License-Identifier: Apache-2.0
"""Exported files, run where a network would run."""

from .base import Runtime, pad_tokens
from .exported import RUNTIMES, ExportedSegmentor, open_exported
from .onnx_runtime import OnnxRuntime
from .openvino_runtime import OpenVinoRuntime, import_openvino

__all__ = [
    'RUNTIMES',
    'ExportedSegmentor',
    'OnnxRuntime',
    'OpenVinoRuntime',
    'Runtime',
    'import_openvino',
    'open_exported',
    'pad_tokens',
]
