# SPDX-License-Identifier: Apache-2.0
"""Writer of the RefCOCO layout."""

import json
import pickle
from pathlib import Path

from pycocotools import mask as mask_utils

from ..masks import compressed_segments
from .images import check_mode, new_names, place_images, require_absent
from .masks import require_targets, require_unique, with_masks


def write_refcoco(
    objects,
    root,
    name,
    image_mode='copy',
    backend_args=None,
    workers=0,
    progress=True,
):
    """Write a data set for :class:`ReferringSegDataset`.

    Ids stay, except for those of sentences if they aren't unique. Categories
    are numbered anew.

    Args:
        objects (list[dict]): Records of all splits.
        root (str | Path): Root folder of the data.
        name (str): Name of the data set's folders.
        image_mode (str): ``'copy'`` the images, or ``'hardlink'`` or
            ``'symlink'`` to them.
        backend_args (dict, optional): Of MMEngine's file backend.
        workers (int): Processes that read mask files.
        progress (bool): Show bars.

    Returns:
        Path: Folder of the annotations.

    Raises:
        FileExistsError: There is a data set of this name.
        ValueError: Something can't be said in this layout.
    """
    check_mode(image_mode)
    folder, pictures = Path(root) / name, Path(root) / 'images' / name
    require_absent(folder, pictures)
    require_unique(objects)
    require_targets(objects, 'refcoco')
    objects = with_masks(objects, backend_args, workers, progress)
    names = new_names(objects)
    categories = sorted({obj['category'] for obj in objects})
    images = _unique(objects, 'image_id', lambda obj: _image(obj, names))
    annotations = _unique(objects, 'ann_id', lambda obj: _annotation(obj, categories))
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=i, name=name) for i, name in enumerate(categories, 1)],
    )
    refs = _refs(objects, categories, names)
    place_images(names, pictures / 'JPEGImages', image_mode, progress)
    folder.mkdir(parents=True)
    with open(folder / 'instances.json', 'w', encoding='utf-8') as file:
        json.dump(content, file, separators=(',', ':'), ensure_ascii=False)
    # Protocol 2, as readers of the original RefCOCO expect. Through JSON, the
    # bytes don't depend on which strings are one object in memory.
    refs = json.loads(json.dumps(refs))
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs, protocol=2))
    return folder


def _unique(objects, key, make):
    """One entry per id; records that share one must agree."""
    entries = {}
    for obj in objects:
        entry = make(obj)
        if entries.setdefault(obj[key], entry) != entry:
            raise ValueError(
                f'{key} {obj[key]!r} of ref_id {obj["ref_id"]!r} is used for something '
                'else too (another file, size, category or mask)'
            )
    return list(entries.values())


def _image(obj, names):
    return dict(
        id=obj['image_id'],
        file_name=names[obj['img_path']],
        height=obj['height'],
        width=obj['width'],
    )


def _annotation(obj, categories):
    height, width = obj['height'], obj['width']
    rle = mask_utils.merge(compressed_segments(obj['segmentation'], height, width))
    return dict(
        id=obj['ann_id'],
        image_id=obj['image_id'],
        category_id=categories.index(obj['category']) + 1,
        segmentation=obj['segmentation'],
        bbox=[float(value) for value in mask_utils.toBbox(rle)],
        area=int(mask_utils.area(rle)),
        iscrowd=0,
    )


def _refs(objects, categories, names):
    ids = [sent_id for obj in objects for sent_id in obj['sent_ids']]
    if len(set(ids)) < len(ids):
        ids = range(len(ids))
    ids = iter(ids)
    refs = []
    for obj in objects:
        sentences = [
            dict(sent_id=next(ids), sent=text.lower(), raw=text, tokens=_words(text))
            for text in obj['expressions']
        ]
        refs.append(
            dict(
                ref_id=obj['ref_id'],
                ann_id=obj['ann_id'],
                image_id=obj['image_id'],
                category_id=categories.index(obj['category']) + 1,
                file_name=names[obj['img_path']],
                split=obj['split'],
                sent_ids=[sentence['sent_id'] for sentence in sentences],
                sentences=sentences,
            )
        )
    return refs


def _words(text):
    return text.lower().split()
