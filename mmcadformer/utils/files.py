# SPDX-License-Identifier: Apache-2.0
"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .plain_data import parse_json

# Ending of files that are being written; one that stays was interrupted.
UNFINISHED = '.unfinished'


@contextmanager
def whole_file(path: str | os.PathLike, synced: bool = False) -> Iterator[Path]:
    """Where to write a file that shall appear in one step, at the end of the block.

    If the block raises or the process is killed, the file stays as it was. Its folder
    is made if needed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        yield unfinished
        if synced:
            _sync(unfinished)
        os.replace(unfinished, path)
        if synced and os.name != 'nt':  # which can't open folders
            _sync(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a file in one step, in UTF-8 and with ``\\n`` at the ends of lines."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding='utf-8', newline='\n')


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes JSON in one step, the same content always as the same bytes."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def read_json(
    path: str | os.PathLike, kind: str | None = None, version: int | None = None
) -> Any:
    """Reads JSON.

    Args:
        kind: What ``format`` in it must say, if anything; with it, the content is a
            dict, which comes without ``format`` and ``version``.
        version: What ``version`` in it must say.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it is another kind.
    """
    try:
        content = parse_json(Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist') from None
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    if kind is None:
        return content
    if not isinstance(content, dict) or content.pop('format', None) != kind:
        raise ValueError(f'{path}: this is not a {kind!r} file')
    if content.pop('version', None) != version:
        raise ValueError(f'{path}: its version differs from {version}')
    return content


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Removes what an interrupted process left behind."""
    for path in Path(folder).glob('*' + UNFINISHED):
        path.unlink()


def digest(content: Any, length: int = 16) -> str:
    """Short fingerprint of JSON content or bytes."""
    if not isinstance(content, bytes):
        content = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:length]
