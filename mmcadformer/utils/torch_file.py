# SPDX-License-Identifier: Apache-2.0
"""Files of ``torch.save``, read without running anything that they name.

What is asked for is looked up in a list, never imported. Before that, the file's own
checksums are compared, and the sizes that it states with what it holds.
"""

from __future__ import annotations

import io
import types
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from mmengine.logging import HistoryBuffer

from .plain_pickle import PLAIN_NAMES, PythonUnpickler

# A tensor may say that it repeats its values; up to so many that costs nothing.
_REPEATED = 1 << 20
_BYTES = {
    'Double': 8, 'Float': 4, 'Half': 2, 'BFloat16': 2, 'Long': 8, 'Int': 4,
    'Short': 2, 'ComplexDouble': 16, 'ComplexFloat': 8, 'QInt32': 4,
}  # fmt: skip


def read_torch_file(file: Path, mapped: bool = False) -> tuple[Any, list[str]]:
    """What is in a file, and the names of the objects in it that were left out.

    Tensors, containers, plain values, NumPy's numbers and arrays, and MMEngine's
    history of a training are read; an inert stand-in takes the place of all else.

    Args:
        mapped: Leave the tensors in the file until they are used, where the format
            can; the file must not change as long as they are.

    Raises:
        ValueError: The file is damaged, another kind, or states sizes that it lacks.
    """
    try:
        is_zip = zipfile.is_zipfile(file)
        if is_zip:
            _check_archive(file)
        else:
            _check_legacy(file)
        load = partial(torch.load, file, map_location='cpu', mmap=mapped and is_zip)
        left_out: set[str] = set()
        try:
            content = load(weights_only=True)
        except Exception:  # which one differs between versions of PyTorch
            reader = _inert_pickle(left_out)
            content = load(pickle_module=reader, weights_only=False)
        _check_tensors(content)
    except (Exception, RecursionError) as error:  # whatever damage makes of the reader
        size = file.stat().st_size
        reason = str(error).splitlines()[0][:200] if str(error) else ''
        raise ValueError(
            f'{file} ({size} bytes) is damaged or not a PyTorch checkpoint: '
            f'{reason or type(error).__name__}'
        ) from None
    return content, sorted(left_out)


def _check_archive(file: Path) -> None:
    """Compares records with their checksums, and storages with their records."""
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        names = [record.filename for record in records]
        if any(name.endswith('/constants.pkl') for name in names):
            raise ValueError('it is a TorchScript program, which is not read')
        for record in records:
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError(
                    f'the record {record.filename} is compressed, which torch.save '
                    'never does'
                )
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(
                f'the record {damaged} differs from its checksum; get the file again'
            )
        found = [name for name in names if name.rpartition('/')[2] == 'data.pkl']
        if len(found) != 1:
            raise ValueError('it has no record data.pkl')
        data = archive.read(found[0])
        sizes = {record.filename: record.file_size for record in records}
    folder = found[0].removesuffix('data.pkl')
    for key, size in _storages(io.BytesIO(data)).items():
        if size > sizes.get(f'{folder}data/{key}', 0):
            raise ValueError(f'the record data/{key} is shorter than its tensor')


def _check_legacy(file: Path) -> None:
    """Compares the storages of a file from before PyTorch 1.6 with its size."""
    with open(file, 'rb') as stream:
        if stream.read(1) != b'\x80':
            raise ValueError('it does not begin as one')
        stream.seek(0)
        # A mark, a version, the machine, and the content.
        for _ in range(4):
            storages = _storages(stream)
    if sum(storages.values()) > file.stat().st_size:
        raise ValueError('it is shorter than its tensors')


def _storages(stream: BinaryIO) -> dict[str, int]:
    """Bytes of each storage that the next pickle of a stream names, by key."""
    found: dict[str, int] = {}

    class Scan(PythonUnpickler):
        def find_class(self, module: str, name: str) -> type:
            return type(name, (_Ignored,), {})

        def persistent_load(self, key: Any) -> _Ignored:
            if key[0] == 'storage':
                kind = key[1].__name__.removesuffix('Storage')
                size = key[4] * _BYTES.get(kind, 1)
                found[key[2]] = max(size, found.get(key[2], 0))
            return _Ignored()

    Scan(stream).load()
    return found


def _check_tensors(content: object) -> None:
    """Refuses tensors whose few values stand for very many."""
    todo, seen = [content], set()
    while todo:
        part = todo.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            todo += part.values()
        elif isinstance(part, (list, tuple)):
            todo += part
        elif isinstance(part, torch.Tensor) and part.layout is torch.strided:
            held = part.untyped_storage().nbytes()
            if part.numel() > _REPEATED and part.numel() * part.element_size() > held:
                raise ValueError(
                    f'a tensor of {held} bytes claims the shape {tuple(part.shape)}'
                )


class _Ignored:
    """Stands for an object that has no part in weights; takes part in nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _Ignored:
        return object.__new__(cls)

    def __call__(self, *args: object, **kwargs: object) -> _Ignored:
        return self

    def _ignore(self, *args: object, **kwargs: object) -> None:
        """Takes part in nothing."""

    __init__ = __setstate__ = __setitem__ = append = extend = add = _ignore


class _History:
    """Becomes MMEngine's history of a number; what else it names is left behind."""

    def __setstate__(self, state: dict) -> None:
        history = HistoryBuffer(
            state['_log_history'], state['_count_history'], int(state['max_length'])
        )
        self.__dict__ = vars(history)
        self.__class__ = HistoryBuffer  # type: ignore[assignment]


def _sealed(function: Callable) -> Callable:
    """A function that a pickle can call, but not change."""

    def call(*args: Any) -> Any:
        return function(*args)

    return call


_NAMES: dict[tuple[str, str], Any] = {
    **PLAIN_NAMES,
    ('torch', 'Size'): torch.Size,
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): _History,
    **{
        ('torch._utils', name): _sealed(getattr(torch._utils, name))
        for name in ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter')
    },
}
# By it, a history names its methods.
_GETATTR = {('builtins', 'getattr'), ('__builtin__', 'getattr')}


def _inert_pickle(left_out: set[str]) -> types.ModuleType:
    """A reader in the form that ``torch.load`` takes; it tells what it left out."""

    class Unpickler(PythonUnpickler):
        def find_class(self, module: str, name: str) -> Any:
            """Looks up a global name in the list above, never by an import."""
            found = _NAMES.get((module, name))
            if found is None and (module, name) not in _GETATTR:
                left_out.add(f'{module}.{name}'[:80])
            return found or _Ignored

    inert = types.ModuleType('inert_pickle')
    vars(inert).update(
        Unpickler=Unpickler,
        load=lambda file, **kwargs: Unpickler(file, **kwargs).load(),
    )
    return inert
