# SPDX-License-Identifier: Apache-2.0
"""ONNX files: written by PyTorch's tracing exporter, run by onnxruntime."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from .parity import Runner

INPUTS = ('image', 'input_ids', 'text_mask')
OUTPUT = 'probability'
# The newest that onnxruntime 1.18 and PyTorch 2.1 both know.
OPSET = 17
# A protobuf message, which a file is, holds no more.
MAX_BYTES = 2**31


def check_possible(model: nn.Module, dynamic_size: bool) -> None:
    """Refuses what can't be written before the minutes that writing takes.

    Args:
        model: The model with its weights.
        dynamic_size: Any.

    Raises:
        ImportError: If onnx or onnxruntime isn't installed.
        ValueError: If the weights are too large for one file.
    """
    packages = ('onnx', 'onnxruntime')
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"ONNX files need {' and '.join(missing)}: pip install -e '.[export]'"
        )
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    if size >= MAX_BYTES:
        raise ValueError(
            f'the weights take {size / 2**30:.1f} GiB, an ONNX file holds less than '
            '2 GiB: write a .pt2 file instead'
        )


def write(
    model: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    dynamic_size: bool,
    companions: dict[str, str],
) -> None:
    """Writes a model with open batch and token numbers.

    Args:
        model: An :class:`~mmcadformer.export.ExportableSegmentor` on the CPU.
        example: Its inputs, to trace with.
        path: The file.
        dynamic_size: Leave the image's height and width open, too.
        companions: Texts by name that become the file's metadata.
    """
    import onnx

    # The newer exporter doesn't exist in PyTorch 2.1 and fixes the image size.
    # PyTorch versions that have it must be asked for the one that traces.
    asked = {}
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        asked['dynamo'] = False
    with warnings.catch_warnings(), torch.no_grad():
        # On what tracing makes constant; check_parity finds out whether it matters.
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model,
            example,
            str(path),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes=_dynamic_axes(example[2].dim() - 1, dynamic_size),
            opset_version=OPSET,
            **asked,
        )
    graph = onnx.load(str(path))
    for key, value in companions.items():
        graph.metadata_props.add(key=key, value=value)
    onnx.save(graph, str(path))
    onnx.checker.check_model(str(path))


def _dynamic_axes(token_axis: int, dynamic_size: bool) -> dict[str, dict[int, str]]:
    """Names of the open axes; ``token_axis`` is that of the text mask."""
    batch = {0: 'batch'}
    axes = dict(
        image=dict(batch),
        input_ids={**batch, 1: 'tokens'},
        text_mask={**batch, token_axis: 'tokens'},
    )
    axes[OUTPUT] = dict(batch)
    if dynamic_size:
        axes['image'].update({2: 'height', 3: 'width'})
        axes[OUTPUT].update({1: 'height', 2: 'width'})
    return axes


def open_file(path: Path) -> Runner:
    """Opens a file with onnxruntime on the CPU, with as many threads as PyTorch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Kept for the next run it takes as much again, and sizes differ from run to run.
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(
        str(path), options, providers=['CPUExecutionProvider']
    )

    def run(*inputs: Tensor) -> Tensor:
        feed = {k: v.numpy() for k, v in zip(INPUTS, inputs, strict=True)}
        return torch.from_numpy(session.run([OUTPUT], feed)[0])

    return run
