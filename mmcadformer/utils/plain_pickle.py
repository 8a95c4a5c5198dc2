# SPDX-License-Identifier: Apache-2.0
"""Reads a pickle that came from the internet without running what is in it.

A pickle can name any importable function and have it called while it is read.
The annotation pickles of the RefCOCO family hold nothing but lists, dicts,
strings and numbers, which need no such names, so names are refused here with
harmless exceptions (ordered dicts, and NumPy's numbers, texts and arrays, which are
turned into Python's numbers, texts and lists).
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .plain_data import check_extent

PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]
"""The one in C takes gigabytes for a few bytes that number an object wildly."""

# What nobody's data names, but programs in pickles do.
_DANGEROUS = frozenset(
    (
        *('os', 'posix', 'nt', 'subprocess', 'sys', 'shutil', 'pty', 'runpy', 'code'),
        *('socket', 'ctypes', 'importlib', 'commands', 'webbrowser', 'operator'),
    )
)
_PROGRAMS = frozenset(('eval', 'exec', 'compile', 'open', '__import__', 'getattr'))


class UnsafePickleError(ValueError):
    """A pickle asks for something that plain annotations never need."""


# Numbers, texts, and whatever the pickle itself holds.
_TYPES = re.compile(r'[bifu][1248]|U[1-9]\d{0,4}|O[48]')


class NumberType:
    """Stands in for ``numpy.dtype`` while numbers are read."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not (isinstance(code, str) and _TYPES.fullmatch(code)):
            raise UnsafePickleError(
                f'the pickle holds a NumPy value of type {str(code)[:80]!r}, which is '
                'neither number nor text: where it was made, write lists, numbers and '
                'texts alone, best as refs.json'
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Sequence[Any]) -> None:
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


class NumberList(list):
    """Stands in for ``numpy.ndarray``: becomes the list of its numbers."""

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, number_type, by_columns, raw = state
        self.fill(raw, number_type, shape, 'F' if by_columns else 'C')

    def fill(self, raw: object, number_type: object, shape: Any, order: Any) -> None:
        """Takes the numbers of an array, which are in the order 'C' or 'F'."""
        values = _numbers(number_type, raw)
        if not shape or len(values) != prod(shape):
            raise UnsafePickleError('the pickle holds a malformed NumPy array')
        self[:] = values.reshape(shape, order=order).tolist()


def _numbers(number_type: object, raw: object) -> np.ndarray:
    if isinstance(number_type, NumberType) and number_type.dtype.hasobject:
        if not isinstance(raw, list):
            raise UnsafePickleError('the pickle holds a malformed NumPy array')
        values = np.empty(len(raw), object)
        for index, value in enumerate(raw):  # read as plain data, like all else
            values[index] = value
        return values
    if isinstance(raw, str):  # as Python 2 wrote bytes
        raw = raw.encode('latin-1')
    if not (
        isinstance(number_type, NumberType) and isinstance(raw, (bytes, bytearray))
    ):
        raise UnsafePickleError('the pickle holds malformed NumPy numbers')
    dtype = number_type.dtype
    return np.frombuffer(raw, dtype) if raw else np.empty(0, dtype)


def _number(number_type: object, raw: object) -> int | float | bool | str:
    """Python number, or text, from the bytes of a NumPy one."""
    if isinstance(raw, list):
        raise UnsafePickleError('the pickle holds malformed NumPy numbers')
    return _numbers(number_type, raw)[0].item()


def _list(*_arguments: object) -> NumberList:
    return NumberList()


def _filled_list(
    raw: object, number_type: object, shape: Any, order: Any, *_axes: object
) -> NumberList:
    made = NumberList()
    made.fill(raw, number_type, shape, order)
    return made


def _no_bytes() -> bytes:
    return b''


def _encoded(text: object, encoding: object) -> bytes:
    """Bytes, as pickles that Python 2 can read have them."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise UnsafePickleError('the pickle encodes text')
    return text.encode('latin-1')


_MULTIARRAY = ('numpy.core.multiarray', 'numpy._core.multiarray')
PLAIN_NAMES: dict[tuple[str, str], Any] = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('_codecs', 'encode'): _encoded,
    ('numpy', 'dtype'): NumberType,
    ('numpy', 'ndarray'): NumberList,
    ('__builtin__', 'bytes'): _no_bytes,
    ('builtins', 'bytes'): _no_bytes,
    ('numpy.core.numeric', '_frombuffer'): _filled_list,
    ('numpy._core.numeric', '_frombuffer'): _filled_list,
    **{(module, 'scalar'): _number for module in _MULTIARRAY},
    **{(module, '_reconstruct'): _list for module in _MULTIARRAY},
}
"""What a pickle of plain data may name, and what it gets."""


class _PlainUnpickler(PythonUnpickler):
    """Unpickler without imports: names outside ``PLAIN_NAMES`` are errors."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return PLAIN_NAMES[module, name]
        except KeyError:
            pass
        told = f'the pickle asks for {module[:80]}.{name[:80]}; annotations are made of'
        told += ' lists, dicts, strings and numbers only'
        if module.split('.')[0] in _DANGEROUS or name in _PROGRAMS:
            raise UnsafePickleError(
                f'{told}, so this file is damaged or malicious. Nothing of it was run'
            )
        raise UnsafePickleError(
            f'{told}. Nothing of it was run; where it was made, write these alone, '
            'best as refs.json'
        )


def load_plain_pickle(
    data: bytes, source: str = '<bytes>', encoding: str = 'utf-8'
) -> Any:
    """Reads plain containers, strings and numbers; refuses all else.

    Args:
        source: What messages call it.
        encoding: Of strings that Python 2 wrote.

    Raises:
        UnsafePickleError: The pickle asks for a global that plain data doesn't need;
            ``source`` and the global are named.
        ValueError: The pickle is damaged, its strings are in another encoding, or it
            names one list so often that no memory holds them all.
    """
    try:
        content = _PlainUnpickler(io.BytesIO(data), encoding=encoding).load()
        check_extent(content, len(data))
    except UnsafePickleError as error:
        raise UnsafePickleError(f'{source}: {error}') from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{source}: its strings, which Python 2 wrote, are not {encoding} '
            f'({error.reason}). If they are Latin-1, make refs.json of it by '
            'tools/dataset_converters/refs_to_json.py --encoding latin-1'
        ) from None
    except Exception as error:
        # Damaged pickles raise nearly anything (UnpicklingError, EOFError,
        # KeyError, IndexError, TypeError, ...).
        reason = f'{type(error).__name__}: {str(error)[:200]}'
        raise ValueError(
            f'{source}: not a readable pickle ({reason}); get it again'
        ) from error
    return content
