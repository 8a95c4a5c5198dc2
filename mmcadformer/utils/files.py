# SPDX-License-Identifier: Apache-2.0
"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np

from .plain_data import parse_json

# Ending of files that are being written; one that stays was interrupted.
UNFINISHED = '.unfinished'
EXPORTED = ('.onnx', '.xml')
"""Endings of files of ``tools/export.py`` that stand for config and checkpoint."""


def is_exported(path: object) -> bool:
    """Whether something is the name of such a file."""
    return isinstance(path, str | os.PathLike) and Path(path).suffix in EXPORTED


@contextmanager
def whole_file(path: str | os.PathLike, synced: bool = False) -> Iterator[Path]:
    """Where to write a file that shall appear in one step, at the end of the block.

    If the block raises or the process is killed, the file stays as it was. Its folder
    is made if needed. ``synced`` waits until the disk has it.

    Raises:
        OSError: It can't be written; it names the file, which a full disk doesn't.
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
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        names = (None, str(unfinished), unfinished)
        if isinstance(error, OSError) and error.errno and error.filename in names:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def removed_when_terminated(folder: str | os.PathLike) -> Iterator[None]:
    """Removes a folder where SIGTERM ends the process inside the block.

    The process ends right there, as it would have. Nothing is raised: an exception is
    lost where it meets a ``__del__``, and PyTorch's tracer is native code that one can
    crash. A handler that is set already stays, as do other threads' blocks.
    """

    def end(number: int, frame: FrameType | None) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # the first process of a container outlives that

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def check_writable(path: str | os.PathLike) -> None:
    """Finds out before the work whether a file can be written after it.

    Raises:
        OSError: Its folder is read-only or full, or it is a folder itself.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f'{path} is a folder: name a file')
    path.parent.mkdir(parents=True, exist_ok=True)
    probe = path.with_name(path.name + UNFINISHED)
    try:
        probe.write_bytes(b'0')
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def write_picture(
    path: str | os.PathLike, pixels: np.ndarray, options: Sequence[int] = ()
) -> None:
    """Writes a picture in one step.

    OpenCV's own writing tells nobody of a full disk.

    Args:
        path: Its ending says the format.
        pixels: Grey or BGR.
        options: OpenCV's, such as ``[cv2.IMWRITE_JPEG_QUALITY, 95]``.
    """
    _, data = cv2.imencode(Path(path).suffix, pixels, options)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(data.tobytes())


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
