# SPDX-License-Identifier: Apache-2.0
"""Data in the RefCOCO layout: the base of published data sets, and whatever else."""

from __future__ import annotations

import os.path as osp
from typing import Any

from mmseg.registry import DATASETS

from .formats.refcoco import RefCOCOReader
from .formats.references import find_refs
from .referring_dataset import BaseReferringDataset


@DATASETS.register_module()
class ReferringSegDataset(BaseReferringDataset):
    """Referring segmentation data in the RefCOCO layout.

    .. code-block:: none

        <data_root>
        ├── <name>
        │   ├── refs(unc).p       (or refs.json, which is preferred)
        │   └── instances.json
        └── images/<name>/JPEGImages/

    ``refs(unc).p`` is a pickle, read without running anything in it; a JSON
    file with the same content may stand beside it. Expressions are the ``raw``
    texts (``sent`` where there is none). Segmentations may be polygons or
    RLEs, compressed or not, several per object.

    In gRefCOCO's files, ``grefs(unc).json`` or ``grefs(unc).p``, an ``ann_id`` is a
    list: of several objects, or ``[-1]`` for a sentence that means nothing.

    Args:
        name: Folder below the root. A published data set has its own as default.
        ann_file: File of references, absolute or below ``data_root``, with
            ``instances.json`` beside it. Defaults to the layout's.
        **kwargs: See :class:`BaseReferringDataset`.
    """

    NAME: str | None = None

    def __init__(
        self, data_root: str, name: str | None = None, ann_file: str = '', **kwargs: Any
    ) -> None:
        name = name or self.NAME
        if not name:
            raise ValueError(
                f'{type(self).__name__} needs the name of the folder below its root'
            )
        super().__init__(data_root, name, ann_file=ann_file, **kwargs)

    def default_prefix(self) -> dict[str, str]:
        return dict(img_path=f'images/{self.name}/JPEGImages')

    def expected_tree(self) -> str:
        return (
            f'Expected below {self.data_root}:\n'
            f'  {self.name}/refs(unc).p  (or refs.json; or grefs(unc), either)\n'
            f'  {self.name}/instances.json\n'
            f'  images/{self.name}/JPEGImages/<the images>'
        )

    def open_reader(self) -> RefCOCOReader:
        folder = osp.join(self.data_root, self.name)
        path = self.ann_file or find_refs(folder, self.backend_args)
        return RefCOCOReader(
            source=path,
            img_dir=self.data_prefix['img_path'],
            strict_polygons=self.strict_polygons,
            backend_args=self.backend_args,
        )
