# SPDX-License-Identifier: Apache-2.0
"""RRSIS-HR, the data set of the CADFormer paper."""

from mmseg.registry import DATASETS

from .referring_dataset import CATEGORIES
from .referring_seg import ReferringSegDataset


@DATASETS.register_module()
class RRSISHRDataset(ReferringSegDataset):
    """RRSIS-HR: 2,650 triplets on 1024 x 1024 px images, from RSVG-HR.

    Built as Sec. III of the CADFormer paper says, in the RefCOCO layout; sentences
    have up to 41 words.
    """

    NAME = 'rrsishr'
    METAINFO = dict(categories=CATEGORIES['rrsishr'])
