# SPDX-License-Identifier: Apache-2.0
"""Weights from files into models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from ..utils.checkpoint import read_checkpoint


def load_checkpoint(model: nn.Module, path: str | Path, strict: bool = True) -> dict:
    """Loads a file's weights into a model, without running code from the file.

    Args:
        model: Takes the weights; not wrapped for distributed training.
        path: See :func:`read_checkpoint`.
        strict: Whether missing and unexpected entries are errors. Otherwise they
            are logged. Entries of another shape are errors in any case.

    Returns:
        The checkpoint's ``meta``: config text, epoch, classes...; may be empty.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights, or those of another model.
    """
    # Copied from the file's own pages: read, the weights would leave as much of the
    # process's memory behind as they took, in pieces too small to go back.
    checkpoint = read_checkpoint(path, mapped=True)
    state = checkpoint['state_dict']
    expected = model.state_dict()
    if not expected.keys() & state.keys():
        raise ValueError(
            f'{path} holds weights of another model: it has {_some(state)}, the '
            f'model has {_some(expected)}'
        )
    try:
        result = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise ValueError(
            f'{path} does not fit the model, which other widths or depths in the '
            f'config explain: {_some(lines)}'
        ) from None
    problems = [
        f'{len(keys)} entries {what}: {_some(keys)}'
        for keys, what in (
            (_essential(result.missing_keys), 'are missing'),
            (_essential(result.unexpected_keys), 'are not known to the model'),
        )
        if keys
    ]
    if problems and strict:
        raise ValueError(f'{path} does not fit the model. ' + '; '.join(problems))
    for problem in problems:
        print_log(f'{path}: {problem}', logger='current', level=30)
    return checkpoint['meta']


def _essential(keys: Sequence[str]) -> list[str]:
    return [key for key in keys if not key.endswith('num_batches_tracked')]


def _some(names: Sequence[str], limit: int = 3) -> str:
    """The first few of many names."""
    names = list(names)
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + more
