# SPDX-License-Identifier: Apache-2.0
"""Writes a model to an ONNX or a torch.export file, and checks it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import torch
from torch import Tensor, nn

from . import onnx_file, program_file
from .companions import describe_model, portable_tokenizer
from .exportable import ExportableSegmentor
from .parity import EXPRESSIONS, TOLERANCE, Parity, Runner, check_parity

FORMATS = {'.onnx': onnx_file, '.pt2': program_file}


def export_model(
    model: nn.Module,
    path: str | Path,
    shape: tuple[int, int] = (480, 480),
    dynamic_size: bool = False,
    antialias: bool = False,
    check_sizes: Sequence[tuple[int, int]] = (),
) -> list[Parity]:
    """Writes a model as one file, checks it, and lays its tokenizer beside it.

    The number of expressions and of tokens stays open. Beside ``NAME.onnx`` or
    ``NAME.pt2`` come ``NAME.tokenizer.json`` and ``NAME.json`` with what a program
    has to know; both are inside the file as well. Files of these names are replaced.

    Args:
        model: A :class:`~mmcadformer.models.ReferringSegmentor` with its weights.
        path: The file; its ending, .onnx or .pt2 (torch.export), is the format. Its
            folder is made if needed.
        shape: Height and width.
        dynamic_size: Leave height and width open, too; .onnx only.
        antialias: Whether images are smoothed when they are made smaller, as Pillow
            does; noted for the program that runs the file.
        check_sizes: With ``dynamic_size``, heights and widths to compare at besides
            ``shape``, with two expressions.

    Returns:
        The comparisons with the model.

    Raises:
        ImportError: If the extra 'export' isn't installed.
        OSError: If nothing can be written to the folder.
        RuntimeError: If the model has no tokenizer.
        ValueError: If the model or the combination of options can't be exported, or
            the file gives other results than the model. No file is written then, and
            those of an earlier export stay.
    """
    path, shape = Path(path), tuple(shape)
    file_format = _format_of(path)
    beside = [path.with_suffix('.json'), path.with_suffix('.tokenizer.json')]
    _check_targets([*beside, path])
    file_format.check_possible(model, dynamic_size)
    tokenizer = portable_tokenizer(model)
    example = _example(model, shape)
    mask_shape = tuple(example[2].shape)
    facts = describe_model(model, shape, dynamic_size, antialias, mask_shape)
    companions = {
        'metadata.json': json.dumps(facts, indent=2),
        'tokenizer.json': tokenizer.to_str(),
    }
    with _folder_for_work(path) as folder:
        file = Path(folder) / path.name
        exportable = ExportableSegmentor(model).cpu()
        file_format.write(exportable, example, file, dynamic_size, companions)
        del exportable  # as large as the model
        others = check_sizes if dynamic_size else ()
        results = _check(model, file_format.open_file(file), shape, others, path)
        written = [Path(folder) / target.name for target in beside]
        written[0].write_text(companions['metadata.json'] + '\n')
        tokenizer.save(str(written[1]))
        # The model last: where it is, the others are, too.
        for source, target in zip([*written, file], [*beside, path], strict=True):
            source.replace(target)
    return results


def _format_of(path: Path) -> ModuleType:
    if path.suffix not in FORMATS:
        raise ValueError(
            f'{path} must end in .onnx (ONNX) or .pt2 (torch.export), which is the '
            'format'
        )
    return FORMATS[path.suffix]


def _check_targets(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            raise ValueError(
                f'{path} is a folder, where a file is to be written: give another '
                'file name'
            )


def _folder_for_work(path: Path) -> TemporaryDirectory:
    """A folder beside a file, from which it moves to its place in one step."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix='export_', dir=path.parent)
    except OSError as error:
        raise OSError(
            f'cannot write to the folder {path.parent}: {error.strerror}'
        ) from None


def _example(model: nn.Module, shape: tuple[int, int]) -> tuple[Tensor, ...]:
    """Inputs to trace with: two of them, since exporters treat one as a constant."""
    tokens = model.text_encoder.tokenize(list(EXPRESSIONS[1]))
    image = torch.zeros(2, 3, *shape)
    return image, tokens['input_ids'].cpu(), tokens['text_mask'].cpu()


def _check(
    model: nn.Module,
    runner: Runner,
    shape: tuple[int, int],
    others: Sequence[tuple[int, int]],
    path: Path,
) -> list[Parity]:
    reason = f'this model cannot be exported to {path.suffix}'
    try:
        results = check_parity(model, runner, [shape])
        results += check_parity(model, runner, others, EXPRESSIONS[1:2])
    except Exception as error:  # each runtime has its own
        raise ValueError(
            f'the exported model fails with other inputs than it was traced with: '
            f'{reason} ({error})'
        ) from error
    for result in results:
        if not result.difference < TOLERANCE:  # also true for NaN
            raise ValueError(
                f'the exported model differs from the original by '
                f'{result.difference:.2g} (allowed: {TOLERANCE}) at {result}: {reason}'
            )
    return results
