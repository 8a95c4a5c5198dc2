# SPDX-License-Identifier: Apache-2.0
"""Referring remote sensing image segmentation on MMSegmentation.

Importing the package checks the installed stack and registers every component
in MMSegmentation's registries, so that a config needs only
``custom_imports = dict(imports=['mmcadformer'])``.
"""

from .utils.stack import check_opencv, check_stack
from .version import __version__

check_stack()
check_opencv()

# After the check: with a broken stack these imports fail in less helpful ways.
from . import (  # noqa: E402
    datasets,
    engine,
    evaluation,
    models,
    visualization,
)

__all__ = [
    '__version__',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'visualization',
]
