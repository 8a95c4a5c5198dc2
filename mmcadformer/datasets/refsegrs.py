# SPDX-License-Identifier: Apache-2.0
"""RefSegRS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.registry import DATASETS

from .formats.refsegrs import RefSegRSReader, phrase_file
from .mask_files import MaskFiles
from .referring_dataset import CATEGORIES, BaseReferringDataset

PUBLISHED_THRESHOLD = 50
"""Of the masks as they were published: what is brighter is the target."""


@DATASETS.register_module()
class RefSegRSDataset(BaseReferringDataset):
    """RefSegRS: 4,420 triplets on 512 x 512 px images, from SkyScapes.

    .. code-block:: none

        <data_root>
        ├── output_phrase_train.txt    (also _val, _test)
        ├── images/<id>.tif
        └── masks/<id>.tif

    A line of a text file is an id, a space and the expression; lines with the
    same id are expressions for the same mask. The target is what is brighter
    than 50 in the mask.

    The layout names no categories. For reports, the category of an object is
    the first name of ``metainfo['categories']`` that its expressions contain
    (``'other'`` if none). Those names are FIANet's list for this data set.

    Args:
        mask_threshold: Mask pixels above this grey value are the target; 50 by default.
        mask_values, mask_channel, ignore_value: See
            :class:`~mmcadformer.datasets.mask_files.MaskFiles`; with ``mask_values``,
            the threshold doesn't hold.
        **kwargs: See :class:`BaseReferringDataset`; ``data_prefix`` defaults to
            ``images`` and ``masks``.
    """

    METAINFO = dict(categories=CATEGORIES['refsegrs'])

    def __init__(
        self,
        data_root: str,
        name: str = 'refsegrs',
        suffix: str = '.tif',
        mask_threshold: float | None = None,
        mask_values: Sequence[int] | None = None,
        mask_channel: str | None = None,
        ignore_value: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.suffix = suffix
        if mask_threshold is None:
            mask_threshold = PUBLISHED_THRESHOLD if mask_values is None else 0
        self.mask_files = MaskFiles(
            mask_threshold, mask_values, mask_channel, ignore_value
        )
        super().__init__(data_root, name, **kwargs)

    def default_prefix(self) -> dict[str, str]:
        return dict(img_path='images', mask_path='masks')

    def open_reader(self) -> RefSegRSReader:
        return RefSegRSReader(
            source=self.data_root,
            img_dir=self.data_prefix['img_path'],
            mask_dir=self.data_prefix['mask_path'],
            suffix=self.suffix,
            mask_files=self.mask_files,
            categories=[
                name for name in self.metainfo['categories'] if name != 'other'
            ],
            backend_args=self.backend_args,
        )

    def expected_tree(self) -> str:
        return (
            'Expected:\n'
            f'  {self.data_root}/{phrase_file(self.split)}'
            '  (each line: id, space, expression)\n'
            f'  {self.data_prefix["img_path"]}/<id>{self.suffix}\n'
            f'  {self.data_prefix["mask_path"]}/<id>{self.suffix}'
        )
