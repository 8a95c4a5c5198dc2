# SPDX-License-Identifier: Apache-2.0
"""Ending in order when the system asks."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Lets SIGTERM raise SystemExit, as SIGINT raises KeyboardInterrupt.

    Cleaning up, such as that of ``with`` and ``finally``, is done then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
