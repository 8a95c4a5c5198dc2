# SPDX-License-Identifier: Apache-2.0
"""Files of OpenVINO, float32 or with weights and activations in 8 bits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..apis.runtimes import OpenVinoRuntime, import_openvino
from ..apis.runtimes.base import INPUTS
from ..apis.runtimes.openvino_runtime import write_texts
from .writers import Plan, Runner, Writer


class OpenVinoWriter(Writer):
    """Writes by OpenVINO's own reader of PyTorch models.

    One image, one sentence and ``max_tokens`` tokens: where shapes are open, OpenVINO
    is slower.
    """

    more_endings = ('.bin',)
    fixed = quantizes = True

    def check_possible(self, model: nn.Module, dynamic_size: bool) -> None:
        import_openvino()
        if dynamic_size:
            raise ValueError(
                'only .onnx files can leave the image size open, which OpenVINO runs, '
                'too; write one .xml file for each size'
            )

    def write(self, model: nn.Module, plan: Plan, path: Path) -> None:
        openvino = import_openvino()
        shapes = [list(tensor.shape) for tensor in plan.example]
        with warnings.catch_warnings(), torch.no_grad():
            # On what tracing makes constant; check_parity finds out if it matters.
            warnings.simplefilter('ignore')
            found = openvino.convert_model(
                model, example_input=plan.example, input=shapes
            )
        _name(found.inputs, INPUTS)
        _name(found.outputs, plan.outputs)
        if plan.quantize is not None:
            found = plan.quantize(found)
        write_texts(found, plan.companions)
        openvino.save_model(found, str(path), compress_to_fp16=False)

    def open(self, path: Path) -> Runner:
        return OpenVinoRuntime(path)


def _name(ports: list[Any], names: tuple[str, ...]) -> None:
    for port, name in zip(ports, names, strict=True):
        port.get_tensor().set_names({name})
