# SPDX-License-Identifier: Apache-2.0
"""Transforms of referring segmentation samples."""

from .augmentation import (
    RandomBoxErasing,
    RandomReferringCrop,
    RandomReferringFlip,
    RandomReferringRotate90,
)
from .loading import (
    ChooseExpression,
    LoadReferringMask,
    PackReferringInputs,
    WholeLoadImageFromFile,
)
from .resizing import SmoothResize

__all__ = [
    'ChooseExpression',
    'LoadReferringMask',
    'PackReferringInputs',
    'RandomBoxErasing',
    'RandomReferringCrop',
    'RandomReferringFlip',
    'RandomReferringRotate90',
    'SmoothResize',
    'WholeLoadImageFromFile',
]
