# SPDX-License-Identifier: Apache-2.0
"""Referring remote sensing image segmentation on MMSegmentation.

Importing the package checks the installed stack and registers every component
in MMSegmentation's registries, so that a config needs only
``custom_imports = dict(imports=['mmcadformer'])``.
"""

from .utils.stack import check_opencv, check_stack, quiet_import
from .version import __version__

# First: with a broken stack the imports below fail in less helpful ways.
check_stack()
check_opencv()

with quiet_import():
    from . import datasets, engine, evaluation, models, visualization

__all__ = [
    '__version__',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'visualization',
]
