# SPDX-License-Identifier: Apache-2.0
"""Referring remote sensing image segmentation on MMSegmentation.

Importing the package checks the installed stack and registers every component
in MMSegmentation's registries, so that a config needs only
``custom_imports = dict(imports=['mmcadformer'])``.
"""

import importlib
import os

from .utils.garbage import no_collection
from .utils.stack import (
    check_opencv,
    check_stack,
    explain_torchvision,
    quiet_import,
)
from .version import __version__

_ROOMS = ('datasets', 'engine', 'evaluation', 'models', 'visualization')
# Commands set this to 'later' while they import what reads their command line; it must
# not reach the processes that they start.
_WHEN = 'MMCADFORMER_REGISTER'


def register() -> None:
    """Registers every component, as the import of the package does by itself."""
    check_opencv()
    try:
        with quiet_import(), no_collection():
            for room in _ROOMS:
                importlib.import_module(f'{__name__}.{room}')
    except (RuntimeError, OSError) as error:
        raise explain_torchvision(error) or error from error


# First: with a broken stack the imports fail in less helpful ways.
check_stack()
if os.environ.pop(_WHEN, '') != 'later':
    register()

__all__ = [
    '__version__',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'register',
    'visualization',
]
