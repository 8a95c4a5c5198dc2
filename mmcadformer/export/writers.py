# SPDX-License-Identifier: Apache-2.0
"""Kinds of files: ONNX, run by onnxruntime, and torch.export, run by PyTorch."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..apis.runtimes import OnnxRuntime
from ..apis.runtimes.base import INPUTS

# From the inputs to the output, or to several.
Runner = Callable[[Tensor, Tensor, Tensor], Tensor | Sequence[Tensor]]
# The newest that onnxruntime 1.18 and PyTorch 2.1 both know.
OPSET = 17
# A protobuf message, which a file is, holds no more.
MAX_BYTES = 2**31


@dataclass(frozen=True)
class Plan:
    """What is to be written."""

    example: tuple[Tensor, ...]  # inputs to trace with
    dynamic_size: bool  # height and width stay open, too
    companions: dict[str, str]  # texts by name that go into the file
    outputs: tuple[str, ...]  # names: the map, then numbers of each expression
    # From a model in float32 to one in 8 bits, in the form of the file's library.
    quantize: Callable[[Any], Any] | None = None

    def open_axes(self) -> list[dict[int, str]]:
        """Names of the open axes of each input."""
        batch, tokens = {0: 'batch'}, self.example[2].dim() - 1
        size = {2: 'height', 3: 'width'} if self.dynamic_size else {}
        return [{**batch, **size}, {**batch, 1: 'tokens'}, {**batch, tokens: 'tokens'}]


class Writer(ABC):
    """Writes and opens files of one kind.

    Attributes:
        more_endings: Of files that belong to the one that is named.
        fixed: Takes one sentence of ``max_tokens`` tokens, where others take any
            number of any length.
        quantizes: Can write 8 bits.
    """

    more_endings: tuple[str, ...] = ()
    fixed = False
    quantizes = False

    @abstractmethod
    def check_possible(self, model: nn.Module, dynamic_size: bool) -> None:
        """Refuses what can't be written before the minutes that writing takes."""

    @abstractmethod
    def write(self, model: nn.Module, plan: Plan, path: Path) -> None:
        """Writes an :class:`~mmcadformer.export.ExportableSegmentor` on the CPU."""

    @abstractmethod
    def open(self, path: Path) -> Runner:
        """Opens a file as a function of the model's inputs, on the CPU."""


class OnnxWriter(Writer):
    """Writes by PyTorch's tracing exporter."""

    def check_possible(self, model: nn.Module, dynamic_size: bool) -> None:
        packages = ('onnx', 'onnxruntime')
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f"ONNX files need {' and '.join(missing)}: pip install -e '.[export]'"
            )
        size = sum(tensor.nbytes for tensor in model.state_dict().values())
        if size >= MAX_BYTES:
            raise ValueError(
                f'the weights take {size / 2**30:.1f} GiB, an ONNX file holds less '
                'than 2 GiB: write a .pt2 file instead'
            )

    def write(self, model: nn.Module, plan: Plan, path: Path) -> None:
        import onnx

        axes = dict(zip(INPUTS, plan.open_axes(), strict=True))
        axes |= {name: {0: 'batch'} for name in plan.outputs}
        if plan.dynamic_size:
            axes[plan.outputs[0]] |= {1: 'height', 2: 'width'}
        # The newer exporter doesn't exist in PyTorch 2.1 and fixes the image size.
        # PyTorch versions that have it must be asked for the one that traces.
        asked: dict[str, Any] = {}
        if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
            asked['dynamo'] = False
        with warnings.catch_warnings(), torch.no_grad():
            # On what tracing makes constant; check_parity finds out if it matters.
            warnings.simplefilter('ignore')
            torch.onnx.export(
                model,
                plan.example,
                str(path),
                input_names=list(INPUTS),
                output_names=list(plan.outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
                **asked,
            )
        graph = onnx.load(str(path))
        for key, value in plan.companions.items():
            graph.metadata_props.add(key=key, value=value)
        onnx.save(graph, str(path))
        onnx.checker.check_model(str(path))

    def open(self, path: Path) -> Runner:
        return OnnxRuntime(path)


class ProgramWriter(Writer):
    """Writes by torch.export."""

    def check_possible(self, model: nn.Module, dynamic_size: bool) -> None:
        if dynamic_size:
            raise ValueError(
                'only .onnx files can leave the image size open; write one .pt2 file '
                'for each size'
            )
        if not hasattr(torch.export.Dim, 'AUTO'):
            raise ValueError(
                f'.pt2 files need PyTorch 2.6 or newer, this is {torch.__version__}; '
                'write an .onnx file'
            )

    def write(self, model: nn.Module, plan: Plan, path: Path) -> None:
        is_open = torch.export.Dim.AUTO
        shapes = [dict.fromkeys(axes, is_open) for axes in plan.open_axes()]
        with torch.no_grad():
            program = torch.export.export(
                model,
                plan.example,
                dynamic_shapes=dict(zip(INPUTS, shapes, strict=True)),
                strict=False,
            )
        torch.export.save(program, path, extra_files=plan.companions)

    def open(self, path: Path) -> Runner:
        return torch.export.load(path).module()
