# SPDX-License-Identifier: Apache-2.0
"""Datasets of (image, expression, mask) and their transforms."""

from ..utils.plain_pickle import UnsafePickleError, load_plain_pickle
from .aeriald import AerialDDataset
from .grefcoco import GRefCOCODataset
from .masks import check_segmentation, decode_segmentation
from .nwpurefer import NWPUReferDataset
from .referring_dataset import BaseReferringDataset
from .referring_json import ReferringJsonDataset
from .referring_seg import ReferringSegDataset
from .refsegrs import RefSegRSDataset
from .risbench import RISBenchDataset
from .rrsisd import RRSISDDataset
from .rrsishr import RRSISHRDataset
from .synthrs import SynthRSDataset
from .transforms import *  # noqa: F401,F403
from .transforms import __all__ as _transforms

__all__ = [
    'AerialDDataset',
    'BaseReferringDataset',
    'GRefCOCODataset',
    'NWPUReferDataset',
    'RISBenchDataset',
    'RRSISDDataset',
    'RRSISHRDataset',
    'RefSegRSDataset',
    'ReferringJsonDataset',
    'ReferringSegDataset',
    'SynthRSDataset',
    'UnsafePickleError',
    'check_segmentation',
    'decode_segmentation',
    'load_plain_pickle',
    *_transforms,
]
