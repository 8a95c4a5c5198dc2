# SPDX-License-Identifier: Apache-2.0
"""Transforms of referring segmentation samples."""

from ...language.directions import rewrite_directions
from .cropping import RandomReferringCrop, survives_cropping
from .erasing import RandomBoxErasing
from .flipping import RandomReferringFlip, RandomReferringRotate90
from .formatting import PackReferringInputs
from .loading import ChooseExpression, LoadReferringMask, WholeLoadImageFromFile

__all__ = [
    'ChooseExpression',
    'LoadReferringMask',
    'PackReferringInputs',
    'RandomBoxErasing',
    'RandomReferringCrop',
    'RandomReferringFlip',
    'RandomReferringRotate90',
    'WholeLoadImageFromFile',
    'rewrite_directions',
    'survives_cropping',
]
