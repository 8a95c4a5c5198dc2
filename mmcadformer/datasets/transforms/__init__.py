"""Transforms of referring segmentation samples."""
from .erasing import RandomBoxErasing
from .formatting import PackReferringInputs
from .loading import ChooseExpression, LoadReferringMask

__all__ = [
    'ChooseExpression', 'LoadReferringMask', 'PackReferringInputs',
    'RandomBoxErasing'
]
