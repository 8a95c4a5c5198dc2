# SPDX-License-Identifier: Apache-2.0
"""Writes the RefCOCO layout (paper Sec. III-A, step 3)."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from ..utils.files import UNFINISHED, write_json
from .boxes import BoxItem
from .mask_store import ItemMask

IMAGE_MODES = ('copy', 'hardlink', 'symlink')


def write_refcoco(
    root: Path,
    name: str,
    items: Sequence[BoxItem],
    masks: Mapping[str, ItemMask],
    splits: Mapping[str, str],
    names: Mapping[str, str],
    image_folder: Path,
    about: Mapping,
    image_mode: str = 'copy',
    refs_as_json: bool = False,
    overwrite: bool = False,
) -> Path:
    """Writes a dataset under another name first, so that it is there or not.

    Every item is an object with a reference of its own, as in RRSIS-HR, where
    sentences and masks are counted as triplets.

    Args:
        root: Root folder of the data.
        name: Name of the dataset.
        items: The items.
        masks: Mask by item.
        splits: Split by item.
        names: File name to give to each image.
        image_folder: Where the images are now.
        about: What ``build.json`` tells about the construction.
        image_mode: 'copy' the images, or make links of the given kind.
        refs_as_json: Write ``refs.json`` beside ``refs(unc).p``.
        overwrite: Replace a dataset of this name.

    Returns:
        Folder of the annotations.

    Raises:
        FileExistsError: There is such a dataset, and ``overwrite`` is off or it
            was not written by this function.
        ValueError: ``image_mode`` is unknown, or the name is no folder name.
    """
    if image_mode not in IMAGE_MODES:
        raise ValueError(f'image_mode must be one of {IMAGE_MODES}, got {image_mode!r}')
    if Path(name).name != name or name in ('', '.', '..', 'images'):
        raise ValueError(f'{name!r} can not be the name of a dataset')
    folder, pictures = Path(root) / name, Path(root) / 'images' / name
    _check_free(folder, pictures, image_folder, overwrite)
    content, refs = _annotations(items, masks, splits, names)
    staging = Path(root) / f'.{name}{UNFINISHED}'
    shutil.rmtree(staging, ignore_errors=True)
    _place_images(staging / 'images' / 'JPEGImages', names, image_folder, image_mode)
    written = staging / 'annotations'
    written.mkdir()
    write_json(written / 'build.json', about)
    _write_compact(written / 'instances.json', content)
    if refs_as_json:
        _write_compact(written / 'refs.json', refs)
    # Protocol 2 is what readers of the original RefCOCO expect. Through JSON,
    # the bytes don't depend on which strings are one object in memory.
    (written / 'refs(unc).p').write_bytes(
        pickle.dumps(json.loads(json.dumps(refs)), protocol=2)
    )
    for source, target in ((staging / 'images', pictures), (written, folder)):
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
    staging.rmdir()
    return folder


def _check_free(folder, pictures, image_folder, overwrite):
    there = [path for path in (folder, pictures) if path.exists()]
    if not there:
        return
    if not overwrite:
        raise FileExistsError(
            f'{there[0]} is there already; choose another name, or allow to '
            'overwrite it'
        )
    own = (folder / 'build.json').is_file()
    if not own or Path(image_folder).resolve().is_relative_to(pictures.resolve()):
        raise FileExistsError(
            f'{there[0]} was not written by this tool, or holds the images to read; '
            'choose another name or folder'
        )


def _annotations(items, masks, splits, names):
    """Content of instances.json, and the references."""
    image_ids = {image: number for number, image in enumerate(sorted(names), 1)}
    categories = sorted({item.category for item in items})
    images, annotations, refs, sentences = {}, [], [], 0
    for number, item in enumerate(items, 1):
        rle = masks[item.item_id].rle
        image_id = image_ids[item.image]
        category_id = categories.index(item.category) + 1
        images[image_id] = dict(
            id=image_id,
            file_name=names[item.image],
            height=rle['size'][0],
            width=rle['size'][1],
        )
        annotations.append(
            dict(
                id=number,
                image_id=image_id,
                category_id=category_id,
                # Readers of the layout expect a list, for RLE too.
                segmentation=[rle],
                bbox=np.asarray(mask_utils.toBbox(rle)).tolist(),
                area=int(mask_utils.area(rle)),
                iscrowd=0,
                attributes=dict(item_id=item.item_id, box=list(item.box)),
            )
        )
        said = [
            _sentence(sentences + k, text) for k, text in enumerate(item.expressions, 1)
        ]
        sentences += len(said)
        refs.append(
            dict(
                ref_id=number,
                ann_id=number,
                image_id=image_id,
                category_id=category_id,
                split=splits[item.item_id],
                sent_ids=[sentence['sent_id'] for sentence in said],
                sentences=said,
                file_name=names[item.image],
            )
        )
    content = dict(
        images=[images[number] for number in sorted(images)],
        annotations=annotations,
        categories=[dict(id=i, name=name) for i, name in enumerate(categories, 1)],
    )
    return content, refs


def _sentence(sent_id, text):
    plain = text.lower()
    return dict(sent_id=sent_id, sent=plain, raw=text, tokens=plain.split())


def _place_images(folder, names, source, mode):
    folder.mkdir(parents=True)
    for image, name in names.items():
        origin, target = Path(source) / image, folder / name
        if mode == 'copy':
            shutil.copyfile(origin, target)
        elif mode == 'hardlink':
            os.link(origin, target)
        else:
            target.symlink_to(origin.resolve())


def _write_compact(path, content):
    path.write_text(
        json.dumps(content, separators=(',', ':'), ensure_ascii=False), encoding='utf-8'
    )
