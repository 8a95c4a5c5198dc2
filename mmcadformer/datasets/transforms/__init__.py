# SPDX-License-Identifier: Apache-2.0
"""Transforms of referring segmentation samples."""

from ...language.directions import rewrite_directions
from .augmentation import (
    RandomBoxErasing,
    RandomReferringCrop,
    RandomReferringFlip,
    RandomReferringRotate90,
    survives_cropping,
)
from .loading import (
    ChooseExpression,
    LoadReferringMask,
    PackReferringInputs,
    WholeLoadImageFromFile,
)

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
