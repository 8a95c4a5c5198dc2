# SPDX-License-Identifier: Apache-2.0
"""Keeps two messages of the stack, which ask for nothing, off the screen."""

import contextlib
import importlib
import io
import sys
import warnings
from collections.abc import Iterator

# OneDL's mmseg prints this once per module that looks for a dataset service of
# its makers; it is meant as a debug message.
DATASET_SERVICE_MESSAGE = 'Could not import OneDL'
# Said by mmcv without compiled operators; nothing in this package needs them.
OPERATORS_WARNING = 'Fail to import ``MultiScaleDeformableAttention``'


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Imports the stack without its two known messages.

    Everything else that is printed meanwhile appears at the end of the block.
    """
    # Its ProgressBar keeps the standard output it finds at import for good.
    importlib.import_module('mmengine.utils.progressbar')
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.filterwarnings('ignore', message=OPERATORS_WARNING)
            yield
    finally:
        for line in printed.getvalue().splitlines(keepends=True):
            if line.strip() != DATASET_SERVICE_MESSAGE:
                sys.stdout.write(line)
