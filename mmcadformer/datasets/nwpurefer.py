# SPDX-License-Identifier: Apache-2.0
"""NWPU-Refer."""

from __future__ import annotations

import os.path as osp
from typing import Any

from mmseg.registry import DATASETS

from .formats.refcoco import RefCOCOReader
from .referring_dataset import BaseReferringDataset

INSTANCES, REFS = 'new_instances.json', 'new_refs(unc).p'


@DATASETS.register_module()
class NWPUReferDataset(BaseReferringDataset):
    """NWPU-Refer: sentences with no, one or several targets, in English and Chinese.

    .. code-block:: none

        <data_root>
        ├── new_refs(unc).p
        ├── new_instances.json
        └── image/<the images>          (or image/image/)

    A reference is one sentence and one object: objects of one image that share a
    sentence are taken together (``merge_expressions``). **How the files say that there
    is no target has not been checked against a copy**: an ``ann_id`` that is -1, null
    or an empty list, and an annotation without any mask, are taken for it, and the log
    says how many there are of each.

    Args:
        language: ``'en'``, ``'zh'`` or None for both.
        merge_expressions: See :class:`BaseReferringDataset`.
        ann_file: File of references, absolute or below ``data_root``.
        **kwargs: See :class:`BaseReferringDataset`.
    """

    def __init__(
        self,
        data_root: str,
        name: str = 'nwpurefer',
        ann_file: str = REFS,
        language: str | None = 'en',
        merge_expressions: bool = True,
        **kwargs: Any,
    ) -> None:
        inner = osp.join(data_root, 'image', 'image')
        self._images = 'image/image' if osp.isdir(inner) else 'image'
        super().__init__(
            data_root,
            name,
            ann_file=ann_file,
            language=language,
            merge_expressions=merge_expressions,
            **kwargs,
        )

    def default_prefix(self) -> dict[str, str]:
        return dict(img_path=self._images)

    def open_reader(self) -> RefCOCOReader:
        return RefCOCOReader(
            source=self.ann_file,
            img_dir=self.data_prefix['img_path'],
            instances=INSTANCES,
            absent_where_empty=True,
            strict_polygons=self.strict_polygons,
            backend_args=self.backend_args,
        )

    def expected_tree(self) -> str:
        return (
            f'Expected below {self.data_root}:\n'
            f'  {REFS}\n  {INSTANCES}\n  image/<the images>  (or image/image/)'
        )
