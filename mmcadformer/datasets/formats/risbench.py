# SPDX-License-Identifier: Apache-2.0
"""RISBench's layout: a picture and a mask file per object, text files of phrases."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath

from ...utils.image_files import IMAGE_SUFFIXES
from ..records import Record
from .refsegrs import RefSegRSReader


@dataclass(kw_only=True)
class RISBenchReader(RefSegRSReader):
    """Reads ``output_phrase_<split>.txt`` in the folder ``source``.

    Names are ``<split>_<image>_<object>``, with or without the suffix of a file: there
    is a copy of the picture for each object, and the last number tells them apart.
    """

    def make_object(self, entry: Record) -> Record:
        return dict(super().make_object(entry), image_id=_image_of(entry['ref_id']))

    def object_name(self, name: str) -> str:
        path = PurePosixPath(name)
        known = path.suffix.lower() in IMAGE_SUFFIXES
        return path.stem if known else name


def _image_of(name: str) -> str:
    """``train_2`` of ``train_2_0``."""
    image, _, number = name.rpartition('_')
    return image if image and number.isdecimal() else name


def find_folders(root: str) -> dict[str, str]:
    """Folders below ``root`` of phrases, images and masks, in any of their names.

    Published are ``RISBench_dataset/{img_rgb,mask}`` with the text files beside them;
    a repack has ``images``, ``masks`` and ``phrase_txts``. What isn't there has its
    published name.
    """
    inner = os.path.join(root, 'RISBench_dataset')
    base = inner if os.path.isdir(inner) else root
    names = dict(
        img_path=('img_rgb', 'images'),
        mask_path=('mask', 'masks'),
        phrases=('phrase_txts', ''),
    )
    found = {}
    for key, options in names.items():
        paths = [os.path.join(base, option) for option in options]
        fallback = paths[-1] if key == 'phrases' else paths[0]
        found[key] = next(filter(os.path.isdir, paths), fallback)
    texts = [path for path in (found['phrases'], root) if _has_phrases(path)]
    return dict(found, phrases=texts[0] if texts else found['phrases'])


def _has_phrases(folder: str) -> bool:
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return any(name.startswith('output_phrase_') for name in names)
