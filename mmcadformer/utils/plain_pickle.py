# SPDX-License-Identifier: Apache-2.0
"""Reads a pickle that came from the internet without running what is in it.

A pickle can name any importable function and have it called while it is read.
The annotation pickles of the RefCOCO family hold nothing but lists, dicts,
strings and numbers, which need no such names, so names are refused here with
two harmless exceptions (ordered dicts and NumPy numbers, which are turned into
Python numbers).
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class UnsafePickleError(ValueError):
    """A pickle asks for something that plain annotations never need."""


class _NumberType:
    """Stands in for ``numpy.dtype`` while a NumPy number is read."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not (isinstance(code, str) and re.fullmatch(r'[bifu][1248]', code)):
            raise UnsafePickleError(
                f'the pickle holds a NumPy value of type {code!r}, '
                'which is not a plain number'
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Sequence[Any]) -> None:
        if state[1] in ('<', '>'):
            self.dtype = self.dtype.newbyteorder(state[1])


def _plain_number(number_type: object, raw: object) -> int | float | bool:
    """Python number from the bytes of a NumPy one."""
    if not isinstance(number_type, _NumberType) or not isinstance(raw, bytes):
        raise UnsafePickleError('the pickle holds a malformed NumPy number')
    return np.frombuffer(raw, number_type.dtype)[0].item()


_ADMITTED: dict[tuple[str, str], Callable] = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('numpy', 'dtype'): _NumberType,
    ('numpy.core.multiarray', 'scalar'): _plain_number,
    ('numpy._core.multiarray', 'scalar'): _plain_number,
}


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler without imports: names outside ``_ADMITTED`` are errors."""

    def find_class(self, module: str, name: str) -> Callable:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise UnsafePickleError(
                f'the pickle asks for {module}.{name}; annotations are made '
                'of lists, dicts, strings and numbers only, so this file is '
                'damaged or malicious. Nothing of it was run'
            ) from None


def load_plain_pickle(data: bytes, source: str = '<bytes>') -> Any:
    """Reads plain containers, strings and numbers; refuses all else.

    Pickles written by Python 2 are read too (their strings as UTF-8).

    Raises:
        UnsafePickleError: The pickle asks for a global that plain data doesn't need;
            ``source`` and the global are named.
        ValueError: The pickle is damaged.
    """
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding='utf-8').load()
    except UnsafePickleError as error:
        raise UnsafePickleError(f'{source}: {error}') from None
    except Exception as error:
        # Damaged pickles raise nearly anything (UnpicklingError, EOFError,
        # KeyError, IndexError, TypeError, UnicodeDecodeError, ...).
        raise ValueError(
            f'{source}: not a readable pickle '
            f'({type(error).__name__}: {error}); download it again'
        ) from error
