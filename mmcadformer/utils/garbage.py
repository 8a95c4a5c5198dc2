# SPDX-License-Identifier: Apache-2.0
"""Python's collection of garbage, which costs a program's start a third of its time.

Imports make a million objects, none of which is garbage, and each of many collections
looks at all that are there. It needs the standard library only.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Collects nothing inside the block: for imports, and for building what stays."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def settle() -> None:
    """For commands that have built what they work with: all that is there stays.

    It is never looked at again, neither by collections nor when the program ends. Only
    once in a process: those that call commands as functions have more to do.
    """
    if gc.get_freeze_count() == 0:
        gc.freeze()
