# SPDX-License-Identifier: Apache-2.0
"""RISBench."""

from __future__ import annotations

import os
from typing import Any

from mmseg.registry import DATASETS

from .formats.refsegrs import phrase_file
from .formats.risbench import RISBenchReader, find_folders
from .mask_files import MaskFiles
from .referring_dataset import CATEGORIES, BaseReferringDataset

_PREFIXES = ('img_path', 'mask_path')


@DATASETS.register_module()
class RISBenchDataset(BaseReferringDataset):
    """RISBench: 52,472 triplets on 512 x 512 px images, from DOTA-v2 and DIOR.

    From Dong et al., *Cross-Modal Bidirectional Interaction Model for Referring Remote
    Sensing Image Segmentation* (arXiv:2410.08613); 26,300 / 10,013 / 16,159 triplets
    for training, validation and test.

    .. code-block:: none

        <data_root>
        ├── output_phrase_train.txt    (also _val, _test; or in RISBench_dataset)
        └── RISBench_dataset
            ├── img_rgb/<split>_<image>_<object>.png
            └── mask/<split>_<image>_<object>.png

    A line of a text file is the name of a file, a space and the expression. The target
    is what isn't 0 in the mask. ``images``, ``masks`` and ``phrase_txts``, as in a
    repack, with names without suffix in the lines, are taken too.

    Each object has its own copy of the picture; ``image_id`` is the name without the
    last number. The files name no categories: as for RefSegRS, the category is the
    first of ``metainfo['categories']`` that the expressions contain. Those are the
    names of DOTA-v2's and DIOR's categories together, in our reading.

    Args:
        suffix: Of the files of pictures and masks.
        **kwargs: See :class:`BaseReferringDataset`; ``data_prefix`` may state the
            folders ``img_path`` and ``mask_path``.
    """

    METAINFO = dict(categories=CATEGORIES['risbench'])

    def __init__(
        self,
        data_root: str,
        name: str = 'risbench',
        suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        self.suffix = suffix
        self._folders = find_folders(data_root)
        super().__init__(data_root, name, **kwargs)

    def default_prefix(self) -> dict[str, str]:
        return {key: os.path.abspath(self._folders[key]) for key in _PREFIXES}

    def open_reader(self) -> RISBenchReader:
        names = [name for name in self.metainfo['categories'] if name != 'other']
        return RISBenchReader(
            source=self._folders['phrases'],
            img_dir=self.data_prefix['img_path'],
            mask_dir=self.data_prefix['mask_path'],
            suffix=self.suffix,
            mask_files=MaskFiles(mask_threshold=0.5),  # all that isn't 0
            categories=names,
            backend_args=self.backend_args,
        )

    def expected_tree(self) -> str:
        return (
            'Expected:\n'
            f'  {self._folders["phrases"]}/{phrase_file(self.split)}'
            '  (each line: file, space, expression)\n'
            f'  {self.data_prefix["img_path"]}/<split>_<image>_<object>{self.suffix}\n'
            f'  {self.data_prefix["mask_path"]}/<split>_<image>_<object>{self.suffix}'
        )
