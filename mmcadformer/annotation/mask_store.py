# SPDX-License-Identifier: Apache-2.0
"""Masks on disk: one file per image, so that work can go on where it stopped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from ..datasets.formats import BoxItem
from ..datasets.masks import encode_mask
from ..utils.files import digest, read_json, write_json

FORMAT = 'mmcadformer-masks'
VERSION = 1


@dataclass(frozen=True)
class ItemMask:
    """The mask of an item.

    Attributes:
        rle: Compressed run lengths: ``size`` (height, width) and ``counts``.
        predicted_iou: What SAM expects; None for masks that a person drew.
        corrected: Whether a person drew it.
    """

    rle: dict
    predicted_iou: float | None = None
    corrected: bool = False

    @classmethod
    def from_array(
        cls,
        mask: np.ndarray,
        predicted_iou: float | None = None,
        corrected: bool = False,
    ) -> ItemMask:
        """Encodes a boolean mask (H, W)."""
        return cls(encode_mask(mask), predicted_iou, corrected)

    def to_array(self) -> np.ndarray:
        """Decodes it to booleans (H, W)."""
        return mask_utils.decode(self.rle).astype(bool)

    @property
    def digest(self) -> str:
        """Fingerprint of the pixels: a review is about exactly these."""
        return digest(self.rle, 12)


@dataclass(frozen=True)
class ImageRecord:
    """What is kept of one image.

    Attributes:
        image: Image file below the image folder.
        size: Height and width in pixels.
        content: Fingerprint of the image file.
        settings: Fingerprint of the settings that the masks were made with.
        items: Id, box, mask and predicted IoU of each item; of those whose box
            can't be used, id, box and the ``reason``.
    """

    image: str
    size: tuple[int, int]
    content: str
    settings: str
    items: list[dict]

    @property
    def masks(self) -> dict[str, ItemMask]:
        """Masks by item."""
        return {
            entry['item_id']: ItemMask(
                dict(size=list(self.size), counts=entry['counts']),
                entry['predicted_iou'],
            )
            for entry in self.items
            if 'reason' not in entry
        }


class MaskStore:
    """Records of images in a folder.

    Args:
        folder: Folder of the records; created when the first one is written.
        settings: Fingerprint of the settings; records made with others don't count.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = Path(folder)
        self.settings = settings

    def path(self, image: str) -> Path:
        """The file of an image: readable, and different for each image."""
        readable = re.sub(r'[^A-Za-z0-9._-]+', '_', image)[-80:]
        return self.folder / f'{readable}.{digest(image.encode(), 8)}.json'

    def write(self, record: ImageRecord) -> None:
        """Writes a record in one step."""
        content = dict(format=FORMAT, version=VERSION, **vars(record))
        write_json(self.path(record.image), content)

    def read(self, image: str) -> ImageRecord | None:
        """Reads the record of an image.

        Returns:
            None if there is none, or none with these settings.

        Raises:
            ValueError: The record is damaged.
        """
        path = self.path(image)
        if not path.is_file():
            return None
        try:
            content = read_json(path, FORMAT, VERSION)
            record = ImageRecord(**dict(content, size=tuple(content['size'])))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path} is damaged ({error}); delete it, and make its masks again'
            ) from None
        return record if record.settings == self.settings else None

    def find(
        self, image: str, path: Path, items: Sequence[BoxItem]
    ) -> ImageRecord | None:
        """The record of an image, if it is about this file and these boxes.

        A damaged record (the power failed, the disk was full) counts as none.
        """
        try:
            record = self.read(image)
        except ValueError:
            return None
        if record is None or record.content != digest(path.read_bytes()):
            return None
        there = [(entry['item_id'], tuple(entry['box'])) for entry in record.items]
        wanted = [(item.item_id, item.box) for item in items]
        return record if there == wanted else None
