# SPDX-License-Identifier: Apache-2.0
"""One process at a time works in a folder."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


class FolderInUse(OSError):
    """Another process works in the folder."""


@contextmanager
def locked(folder: str | os.PathLike, name: str = '') -> Iterator[None]:
    """Keeps other processes out of a folder, as far as they ask in this way.

    The system frees it when this process ends, however it ends.

    Args:
        folder: Is made if needed.
        name: Of a file in the folder, if that alone is to be kept from others.

    Raises:
        FolderInUse: Another process has it; the message says which and since when.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # As a hidden file, which readers of data sets and results pass over. Who holds it
    # is in a second one, since on Windows nobody can read a locked file.
    file = folder / f'.{name}.lock'.replace('..', '.')
    owner = file.with_name(f'{file.name}.json')
    try:
        lock = FileLock(file).acquire(timeout=0)
    except Timeout:
        raise FolderInUse(
            f'{folder / name} is in use by {_describe(owner)}: wait for it, end it, or '
            'give another place'
        ) from None
    with lock:
        own = dict(
            pid=os.getpid(),
            host=platform.node(),
            command=Path(sys.argv[0]).name,
            since=time.time(),
        )
        owner.write_text(json.dumps(own), encoding='utf-8')
        try:
            yield
        finally:
            owner.unlink(missing_ok=True)
            if os.name != 'nt':  # where an open file can't be removed
                file.unlink(missing_ok=True)


def _describe(owner: Path) -> str:
    """Who holds a lock; the file is written a moment after the lock is taken."""
    try:
        facts = json.loads(owner.read_text(encoding='utf-8'))
        minutes = max(0, round((time.time() - facts['since']) / 60))
        return (
            f'{facts["command"]} (process {facts["pid"]} on {facts["host"]}, for '
            f'{minutes} minutes)'
        )
    except (OSError, ValueError, KeyError, TypeError):
        return 'another process'
