# SPDX-License-Identifier: Apache-2.0
"""Masks that any model predicted, from files, by the expressions they are for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.mask_files import MaskFiles, read_mask_file
from ..datasets.masks import decode_rle
from ..utils.plain_data import parse_json, read_lines, shorten

PATTERN = '{ref_id}_{sent_id}.png'
"""Default name of an expression's mask file."""
_IDS = ('dataset_name', 'image_id', 'ref_id', 'sent_id', 'ann_id')
_MASKS = ('pred_rle', 'segmentation')

Expression = dict[str, Any]
"""A record of a data set in test mode, with ``expression`` and ``sent_id``."""


@dataclass(frozen=True)
class PredictedMask:
    """One mask that lies somewhere.

    Args:
        source: Its file, or its place in a file.
        read: Gives uint8 (H, W) of 0 and 1; ValueError where it is damaged.
    """

    source: str
    read: Callable[[], np.ndarray]


@dataclass
class PredictedMasks:
    """What was found for the expressions of a split.

    Args:
        found: By the index of the expression.
        doubled: Places of masks whose expression has one already.
        strange: Places of masks for none of the expressions.
        protocol: What the file says of how its masks were compared.
    """

    found: dict[int, PredictedMask] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    protocol: str | None = None


def find_masks(
    source: str | Path,
    expressions: Sequence[Expression],
    pattern: str = PATTERN,
    files: MaskFiles | None = None,
) -> PredictedMasks:
    """Lines up predicted masks with expressions.

    Args:
        source: A folder with one picture an expression; or a ``.json`` file with a list
            of COCO results (RLE as ``segmentation``); or a ``.jsonl`` file with one
            of them a line, such as that of ``tools/test.py --save-masks``
            (``pred_rle``). Entries name their expression by any of ``dataset_name``,
            ``image_id``, ``ref_id``, ``sent_id`` and ``ann_id`` that suffice.
        expressions: Of the split.
        pattern: Names of the pictures below the folder, with ids in braces.
        files: Which pixels of a picture are the mask.

    Raises:
        FileNotFoundError: There is no such folder or file.
        ValueError: A file is damaged, or it isn't clear which expression a mask is for.
    """
    source = Path(source)
    if source.is_dir():
        return _in_folder(source, expressions, pattern, files or MaskFiles())
    if not source.is_file():
        raise FileNotFoundError(f'there is no folder or file {source} with masks')
    if source.suffix not in ('.json', '.jsonl'):
        raise ValueError(
            f'{source}: masks are a folder of pictures, a .json file of COCO results '
            'or a .jsonl file with one result a line'
        )
    return _in_entries(source, list(_entries(source)), expressions)


def _in_folder(
    folder: Path, expressions: Sequence[Expression], pattern: str, files: MaskFiles
) -> PredictedMasks:
    masks = PredictedMasks()
    wanted: dict[Path, int] = {}
    for index, expression in enumerate(expressions):
        path = folder / _fill(pattern, index, expression)
        if path in wanted:
            other = describe(expressions[wanted[path]])
            raise ValueError(
                f'the pattern {pattern!r} gives {path.name} for {other} and for '
                f'{describe(expression)}: tell them apart, such as by {{sent_id}}'
            )
        wanted[path] = index
        if path.is_file():
            read = partial(read_mask_file, files.segmentation(str(path)))
            masks.found[index] = PredictedMask(str(path), read)
    suffix = Path(pattern).suffix
    there = [path for path in folder.rglob(f'*{suffix}') if path.is_file()]
    masks.strange = sorted(str(path) for path in there if path not in wanted)
    if not masks.found:
        example = f'there is {Path(masks.strange[0]).name}' if there else 'it has none'
        raise ValueError(
            f'{folder}: no file has the name of an expression; the first would be '
            f'{next(iter(wanted)).relative_to(folder)}, but {example}. Say by '
            '--pattern how they are called'
        )
    return masks


def _fill(pattern: str, index: int, expression: Expression) -> str:
    """Name of an expression's file."""
    ids = {key: expression[key] for key in _IDS if expression.get(key) is not None}
    ids |= dict(image=Path(expression['img_path']).stem, index=index)
    try:
        return pattern.format_map(ids)
    except (AttributeError, IndexError, KeyError, ValueError) as error:
        raise ValueError(
            f'the pattern {pattern!r} does not fit ({type(error).__name__}: {error}); '
            f'ids in braces are {", ".join(ids)}'
        ) from None


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Places and contents of the entries of a file."""
    parts: Iterator[tuple[str, Any]]
    if path.suffix == '.jsonl':
        parts = _parse_lines(path)
    else:
        try:
            content = parse_json(path.read_bytes())
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
        if isinstance(content, dict):
            content = content.get('annotations')
        if not isinstance(content, list):
            raise ValueError(f'{path}: COCO results are a list of entries')
        parts = ((f'{path}, entry {n}', entry) for n, entry in enumerate(content, 1))
    for where, entry in parts:
        if not isinstance(entry, dict) or not any(key in entry for key in _MASKS):
            hint = ''
            if isinstance(entry, dict) and 'intersection' in entry:
                hint = '; test with --save-masks to have masks in the lines'
            raise ValueError(
                f'{where} has no mask: expected an RLE as {" or ".join(_MASKS)}{hint}'
            )
        yield where, entry


def _parse_lines(path: Path) -> Iterator[tuple[str, Any]]:
    for number, text in read_lines(path):
        where = f'{path}, line {number}'
        try:
            yield where, parse_json(text)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from None


def _in_entries(
    path: Path,
    entries: Sequence[tuple[str, dict[str, Any]]],
    expressions: Sequence[Expression],
) -> PredictedMasks:
    keys = [key for key in _IDS if all(key in entry for _, entry in entries)]
    if not entries or not keys:
        raise ValueError(
            f'{path}: its entries share none of the ids {", ".join(_IDS)}, by which '
            'expressions are found; give ref_id and sent_id'
        )
    places = defaultdict(list)
    for index, expression in enumerate(expressions):
        places[_identity(expression, keys)].append(index)
    masks = PredictedMasks(protocol=_stated_protocol(entries))
    for where, entry in entries:
        indices = places.get(_identity(entry, keys), [])
        ids = ', '.join(f'{key} {entry[key]!r}' for key in keys)
        if len(indices) > 1:
            raise ValueError(
                f'{where}: {ids} fits {len(indices)} expressions, such as '
                f'{describe(expressions[indices[0]])} and '
                f'{describe(expressions[indices[1]])}: give more ids, such as sent_id'
            )
        if not indices:
            masks.strange.append(f'{where} ({ids})')
        elif indices[0] in masks.found:
            masks.doubled.append(f'{where} ({ids})')
        else:
            _check_expression(where, entry, expressions[indices[0]])
            masks.found[indices[0]] = PredictedMask(where, partial(_decode, entry))
    return masks


def _identity(entry: dict[str, Any], keys: Sequence[str]) -> tuple[str, ...]:
    """Ids as text: a number in one file may be text in another."""
    return tuple(str(entry.get(key)) for key in keys)


def _stated_protocol(entries: Sequence[tuple[str, dict[str, Any]]]) -> str | None:
    stated = {str(entry.get('protocol')) for _, entry in entries}
    return stated.pop() if len(stated) == 1 and 'None' not in stated else None


def _check_expression(
    where: str, entry: dict[str, Any], expression: Expression
) -> None:
    """Ids may be those of other data; sentences tell."""
    stated = entry.get('expression', expression['expression'])
    if stated != expression['expression']:
        raise ValueError(
            f'{where} is for {shorten(stated)}, but the data set says '
            f'{describe(expression)}: are they of the same data?'
        )


def _decode(entry: dict[str, Any]) -> np.ndarray:
    return decode_rle(next(entry[key] for key in _MASKS if key in entry))


def describe(expression: Expression) -> str:
    """An expression in a message."""
    return (
        f'{shorten(expression["expression"])} (ref_id {expression["ref_id"]}, sent_id '
        f'{expression["sent_id"]})'
    )
