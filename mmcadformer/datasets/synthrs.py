# SPDX-License-Identifier: Apache-2.0
"""SynthRS, which ``mmcadformer.synthrs`` draws."""

from mmseg.registry import DATASETS

from .referring_seg import ReferringSegDataset
from .rrsishr import RRSISHRDataset


@DATASETS.register_module()
class SynthRSDataset(ReferringSegDataset):
    """SynthRS: drawn overhead scenes with the categories of RRSIS-HR.

    A test bed and a demonstration, never a benchmark;
    ``tools/dataset_converters/synthrs.py`` writes it.
    """

    NAME = 'synthrs'
    METAINFO = RRSISHRDataset.METAINFO
