# SPDX-License-Identifier: Apache-2.0
"""Data from elsewhere: JSON and containers of any size, as text in messages."""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Containers that are one object in memory but many in the data: so often may a
# file's bytes stand for a value.
_REPEATS = 20
_DEPTH = 100
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def shorten(value: object, length: int = 200) -> str:
    """``repr`` of a value that may be huge or deep, for a message."""
    text = _SHORT.repr(value)
    return text if len(text) <= length else text[: length - 3] + '...'


def parse_json(data: str | bytes) -> Any:
    """What a JSON text says, with or without a byte order mark.

    Raises:
        ValueError: It isn't JSON or UTF-8, or nested too deeply.
    """
    try:
        if isinstance(data, bytes):
            data = data.decode('utf-8-sig')
        return json.loads(data.removeprefix('\ufeff'))
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
    except ValueError as error:
        raise ValueError(f'not valid JSON ({error})') from None


def read_lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Numbers, from 1, and lines of a text file in UTF-8 that aren't blank.

    Lines end at ``\\n`` alone: other marks that Unicode knows may be in a sentence.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it is other text.
    """
    try:
        text = Path(path).read_bytes().decode('utf-8-sig')
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 text ({error})') from None
    for number, line in enumerate(text.split('\n'), 1):
        if line.strip():
            yield number, line.removesuffix('\r')


def check_extent(content: object, num_bytes: int) -> None:
    """Refuses containers that a small file made huge by naming one of them often.

    Args:
        content: Dicts, lists and tuples, read from a file.
        num_bytes: The file's size.

    Raises:
        ValueError: They hold themselves, or too many values, or are nested too deeply.
    """
    limit = 1000 + _REPEATS * num_bytes
    sizes: dict[int, int] = {}
    if _extent(content, sizes, _DEPTH) > limit:
        raise ValueError(f'its {num_bytes} bytes stand for more than {limit} values')


def _extent(part: object, sizes: dict[int, int], depth: int) -> int:
    """Number of values, each counted as often as it occurs."""
    if not isinstance(part, (dict, list, tuple)):
        return 1
    known = sizes.get(id(part))
    if known is not None:
        if known == 0:
            raise ValueError('a list in it holds itself')
        return known
    if depth == 0:
        raise ValueError(f'it is nested more than {_DEPTH} deep')
    sizes[id(part)] = 0
    children = part.values() if isinstance(part, dict) else part
    total = 1 + sum(
        _extent(child, sizes, depth - 1)
        if isinstance(child, (dict, list, tuple))
        else 1
        for child in children
    )
    sizes[id(part)] = total
    return total
