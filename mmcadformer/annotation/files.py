# SPDX-License-Identifier: Apache-2.0
"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

# Ending of files that are being written; one that stays was interrupted.
UNFINISHED = '.unfinished'


def write_text(path: Path, text: str) -> None:
    """Writes a file in one step: a process killed meanwhile leaves it as it was."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + UNFINISHED)
    with open(unfinished, 'w', encoding='utf-8', newline='\n') as file:
        file.write(text)
    os.replace(unfinished, path)


def write_json(path: Path, content) -> None:
    """Writes JSON in one step, the same content always as the same bytes."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def read_json(path: Path, kind: str | None = None, version: int | None = None):
    """Reads JSON.

    Args:
        path: The file.
        kind: What ``format`` in it must say, if anything.
        version: What ``version`` in it must say.

    Returns:
        The content; a dict without ``format`` and ``version`` if ``kind`` is
        given.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no JSON, or of another kind.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist') from None
    except ValueError as error:
        raise ValueError(f'{path}: not valid JSON ({error})') from None
    if kind is None:
        return content
    if not isinstance(content, dict) or content.pop('format', None) != kind:
        raise ValueError(f'{path}: this is no {kind!r} file')
    if content.pop('version', None) != version:
        raise ValueError(f'{path}: its version differs from {version}')
    return content


def remove_unfinished(folder: Path) -> None:
    """Removes what an interrupted process left behind."""
    for path in Path(folder).glob('*' + UNFINISHED):
        path.unlink()


def digest(content, length: int = 16) -> str:
    """Short fingerprint of JSON content or bytes."""
    if not isinstance(content, bytes):
        content = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:length]
