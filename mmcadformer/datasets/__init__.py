# SPDX-License-Identifier: Apache-2.0
"""Datasets of (image, expression, mask) and their transforms."""

from .masks import check_segmentation, decode_segmentation
from .refcoco import ReferringSegDataset, RRSISDDataset, RRSISHRDataset, SynthRSDataset
from .referring_dataset import BaseReferringDataset
from .safe_pickle import UnsafePickleError, load_plain_pickle
from .transforms import *  # noqa: F401,F403
from .transforms import __all__ as _transforms

__all__ = [
    'BaseReferringDataset',
    'RRSISDDataset',
    'RRSISHRDataset',
    'ReferringSegDataset',
    'SynthRSDataset',
    'UnsafePickleError',
    'check_segmentation',
    'decode_segmentation',
    'load_plain_pickle',
    *_transforms,
]
