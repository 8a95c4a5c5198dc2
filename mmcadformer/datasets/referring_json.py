# SPDX-License-Identifier: Apache-2.0
"""Referring data in one file of JSON lines."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmseg.registry import DATASETS

from .formats.json_lines import JsonLinesReader
from .mask_files import MaskFiles
from .referring_dataset import BaseReferringDataset


@DATASETS.register_module()
class ReferringJsonDataset(BaseReferringDataset):
    """Referring data of one's own: a text file with one JSON object per line.

    .. code-block:: json

        {"image": "images/1.png", "expression": "the tank on the left",
         "mask": "masks/1.png", "split": "train", "category": "storage tank"}

    (on one line). Keys:

    - ``image``: the image file, below ``data_root``;
    - ``expression``, or ``expressions`` with a list of them;
    - ``mask``: a file below ``data_root`` in which the target is 1 or white on 0 (other
      files by the arguments below); or polygons ``[[x1, y1, x2, y2, ...], ...]``; or
      COCO RLE ``{"size": [height, width], "counts": ...}``, one or a list; or
      ``null`` or ``[]`` if the expression refers to nothing in the image; or, where it
      refers to several objects, a list with one of these for each;
    - ``split``: ``"train"``, ``"val"``, ``"test"``, ...;
    - ``category`` (default ``"object"``): for reports; for several objects, one or a
      list;
    - ``id`` (default ``"line-<number>"``): unique, the ``ref_id``;
    - ``object_id`` (default: ``id``): the same for lines about one object. A list if
      ``mask`` is one of several objects; a list of files does without;
    - ``kind``: ``"none/category"``, ``"none/attribute"`` or ``"none/relation"`` say why
      there is no target; ``"several"`` that one mask shows several objects;
    - ``image_id`` (default: ``image``), ``sentence_ids`` (default: 0, 1, ...);
    - ``height`` and ``width`` of the image in pixels, checked when it is read;
    - ``attributes``: anything else.

    Args:
        ann_file: The file, absolute or below ``data_root``.
        name: Name in reports; by default that of the folder ``data_root``.
        mask_threshold, mask_values, mask_channel, ignore_value: How mask files are
            understood that don't hold 0 and 1, or 0 and white; see
            :class:`~mmcadformer.datasets.mask_files.MaskFiles`.
        **kwargs: See :class:`BaseReferringDataset`; ``data_prefix`` says where paths
            of images (``img_path``) and masks (``mask_path``) start, if not at
            ``data_root``.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = 'annotations.jsonl',
        name: str | None = None,
        mask_threshold: float = 0,
        mask_values: Sequence[int] | None = None,
        mask_channel: str | None = None,
        ignore_value: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.mask_files = MaskFiles(
            mask_threshold, mask_values, mask_channel, ignore_value
        )
        name = osp.basename(osp.abspath(data_root)) if name is None else name
        super().__init__(data_root, name, ann_file=ann_file, **kwargs)

    def default_prefix(self) -> dict[str, str]:
        return dict(img_path='', mask_path='')

    def open_reader(self) -> JsonLinesReader:
        return JsonLinesReader(
            source=self.ann_file,
            img_dir=self.data_prefix['img_path'],
            mask_dir=self.data_prefix['mask_path'],
            mask_files=self.mask_files,
            strict_polygons=self.strict_polygons,
            backend_args=self.backend_args,
        )

    def expected_tree(self) -> str:
        return (
            f'Expected: {self.ann_file}, one JSON object per line with the keys '
            f"'image', 'expression', 'mask' and 'split'; image paths start from "
            f'{self.data_prefix["img_path"]}'
        )
