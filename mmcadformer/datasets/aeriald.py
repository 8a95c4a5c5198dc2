# SPDX-License-Identifier: Apache-2.0
"""Aerial-D."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mmseg.registry import DATASETS

from .formats.aeriald import AerialDReader
from .referring_dataset import CATEGORIES, BaseReferringDataset


@DATASETS.register_module()
class AerialDDataset(BaseReferringDataset):
    """Aerial-D: 1,522,523 expressions on 37,288 patches of 480 px.

    From Marnoto, *The Aerial-D Dataset for Generalized Referring Expression
    Segmentation on Aerial Photos*; patches of iSAID and LoveDA. Of its expressions,
    written by rules and by a language model, none is without a target.

    .. code-block:: none

        <data_root>
        ├── train
        │   ├── annotations/<patch>.xml
        │   └── images/<patch>.png
        └── val                          (there is no test split)

    As 37,288 files take long at every start, convert them once to JSON lines, which
    ``configs/cadformer_swinb_aeriald.py`` reads::

        convert.py --layout aeriald --data-root data/aeriald --to json \\
            --out data/aeriald

    Args:
        expression_types: Of the expressions to take, such as ``('original',
            'enhanced', 'unique')``; all by default.
        suffix: Of the pictures.
        **kwargs: See :class:`BaseReferringDataset`.
    """

    METAINFO = dict(categories=CATEGORIES['aeriald'])

    def __init__(
        self,
        data_root: str,
        name: str = 'aeriald',
        expression_types: Sequence[str] = (),
        suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        self.expression_types = tuple(expression_types)
        self.suffix = suffix
        inner = os.path.join(data_root, 'aeriald')
        data_root = inner if os.path.isdir(inner) else data_root
        super().__init__(data_root, name, **kwargs)

    def default_prefix(self) -> dict[str, str]:
        return dict(img_path='')

    def open_reader(self) -> AerialDReader:
        return AerialDReader(
            source=self.data_root,
            suffix=self.suffix,
            expression_types=self.expression_types,
            backend_args=self.backend_args,
        )

    def expected_tree(self) -> str:
        return (
            'Expected:\n'
            f'  {self.data_root}/train/annotations/<patch>.xml  (and val)\n'
            f'  {self.data_root}/train/images/<patch>{self.suffix}'
        )
