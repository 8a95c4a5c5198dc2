# SPDX-License-Identifier: Apache-2.0
"""RRSIS-D."""

from mmseg.registry import DATASETS

from .referring_dataset import CATEGORIES
from .referring_seg import ReferringSegDataset


@DATASETS.register_module()
class RRSISDDataset(ReferringSegDataset):
    """RRSIS-D: 17,402 triplets on 800 x 800 px images, from DIOR-RSVG.

    Published with RMSIN (Liu et al., CVPR 2024) in the RefCOCO layout, with masks
    as RLEs and 20 categories.
    """

    NAME = 'rrsisd'
    METAINFO = dict(categories=CATEGORIES['rrsisd'])
