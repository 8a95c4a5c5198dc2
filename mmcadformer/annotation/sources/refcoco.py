# SPDX-License-Identifier: Apache-2.0
"""Boxes of a folder in the RefCOCO layout, whose masks may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmcadformer.datasets import load_plain_pickle

from ...utils.files import read_json
from ..bad_entries import BadEntries
from ..boxes import BoxItem


def load_refcoco_boxes(
    root: Path, name: str, bad: BadEntries | None = None
) -> tuple[list[BoxItem], Path]:
    """Reads the boxes of all references.

    Items are called ``ref-<ref_id>``. Masks in ``instances.json`` are not
    looked at.

    Args:
        root: Root folder of the data.
        name: Folder of the annotations below it, such as 'synthrs'.
        bad: Gets the references that can't be used.

    Returns:
        The items, and the folder of their images.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged or unsafe, or a reference is bad and
            ``bad`` doesn't leave it out.
    """
    bad = bad or BadEntries()
    folder = Path(root) / name
    refs, source = _read_refs(folder)
    instances = folder / 'instances.json'
    content = read_json(instances)
    images, annotations, categories = (
        _index(content, key, instances)
        for key in ('images', 'annotations', 'categories')
    )
    items = []
    for position, ref in enumerate(refs):
        where = f'{source}: entry {position}'
        with bad.around(where):
            items.append(_item(ref, images, annotations, categories))
    return items, Path(root) / 'images' / name / 'JPEGImages'


def _read_refs(folder):
    as_json, as_pickle = folder / 'refs.json', folder / 'refs(unc).p'
    if as_json.is_file():
        refs, path = read_json(as_json), as_json
    elif as_pickle.is_file():
        refs, path = (
            load_plain_pickle(as_pickle.read_bytes(), str(as_pickle)),
            as_pickle,
        )
    else:
        raise FileNotFoundError(f'neither refs.json nor refs(unc).p is in {folder}')
    if not isinstance(refs, list):
        raise ValueError(f'{path}: expected a list of references')
    return refs, path


def _index(content, key, path):
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f'{path}: expected a list under {key!r}')
    return {
        entry['id']: entry
        for entry in entries
        if isinstance(entry, Mapping) and isinstance(entry.get('id'), (int, str))
    }


def _item(ref, images, annotations, categories):
    try:
        annotation = annotations[ref['ann_id']]
        image = images[ref['image_id']]
        left, top, width, height = annotation['bbox']
        return BoxItem(
            item_id=f'ref-{ref["ref_id"]}',
            image=image['file_name'],
            box=(left, top, left + width, top + height),
            category=categories[annotation['category_id']]['name'],
            expressions=tuple(
                sentence.get('raw') or sentence['sent'] for sentence in ref['sentences']
            ),
            split=ref.get('split'),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'a part of the reference is missing ({type(error).__name__}: {error})'
        ) from None
