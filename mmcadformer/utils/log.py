# SPDX-License-Identifier: Apache-2.0
"""Messages in the log of the current run; imports MMEngine."""

from __future__ import annotations

import logging

from mmengine.logging import print_log


def warn(message: str) -> None:
    """Logs a warning; without a run it goes to the terminal."""
    print_log(message, logger='current', level=logging.WARNING)
