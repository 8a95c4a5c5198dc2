# SPDX-License-Identifier: Apache-2.0
"""Files of torch.export: run by PyTorch alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .parity import Runner


def check_possible(model: nn.Module, dynamic_size: bool) -> None:
    """Refuses what can't be written.

    Args:
        model: Any.
        dynamic_size: Must be False.

    Raises:
        ValueError: If the image size is to stay open, or PyTorch is too old.
    """
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
        dynamic_size: False.
        companions: Texts by name that become extra files in the file.
    """
    is_open = torch.export.Dim.AUTO
    batch = {0: is_open}
    shapes = dict(
        image=batch,
        input_ids={**batch, 1: is_open},
        text_mask={**batch, example[2].dim() - 1: is_open},
    )
    with torch.no_grad():
        program = torch.export.export(
            model, example, dynamic_shapes=shapes, strict=False
        )
    torch.export.save(program, path, extra_files=companions)


def open_file(path: Path) -> Runner:
    """Opens a file as a function of the model's inputs."""
    return torch.export.load(path).module()
