# SPDX-License-Identifier: Apache-2.0
"""RISBench."""

from mmseg.registry import DATASETS

from .referring_seg import ReferringSegDataset


@DATASETS.register_module()
class RISBenchDataset(ReferringSegDataset):
    """RISBench: 52,472 triplets on 512 x 512 px images, from DOTA-v2 and DIOR.

    Its paper (Dong et al., *Cross-Modal Bidirectional Interaction Model for
    Referring Remote Sensing Image Segmentation*, arXiv:2410.08613, the authors
    of CroBIM) gives the size of images and data set, 26 categories, and the
    parts 26,300 / 10,013 / 16,159 for training, validation and test.

    **The layout has not been checked against a published copy.** This class
    takes it to be the RefCOCO layout of the family's other data sets, under
    the names ``risbench/`` and ``images/risbench/JPEGImages/``. Where a copy
    differs:

    - other folders or file names: ``name``, ``ann_file``, ``data_prefix``;
    - another layout: convert the annotations to JSON lines
      (:class:`ReferringJsonDataset`).

    Categories are taken from the file.
    """

    NAME = 'risbench'
