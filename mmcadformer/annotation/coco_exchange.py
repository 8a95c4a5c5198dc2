# SPDX-License-Identifier: Apache-2.0
"""Flagged masks to COCO JSON and corrected ones back: CVAT, Label Studio."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mmcadformer.datasets import decode_segmentation

from ..datasets.formats import BoxItem
from ..utils.files import read_json
from ..utils.outlines import trace_outlines
from .mask_store import ItemMask
from .quality import measure_mask

SHAPES = ('polygon', 'rle')
# An annotation belongs to a box that holds at least this share of it.
LEAST_INSIDE = 0.5
# Two boxes whose scores are closer than this can't be told apart.
MARGIN = 0.05


def flat_names(images: Sequence[str]) -> dict[str, str]:
    """Different file names without folders for images in folders.

    Args:
        images: Image files with ``/`` between folders.

    Returns:
        Name by image: its own where no other image has the same, otherwise
        joined from its folders.
    """
    own = [PurePosixPath(image).name for image in images]
    taken = {name.lower() for name in own}
    if len(taken) == len(own):
        return dict(zip(images, own, strict=True))
    joined = {image: image.replace('/', '__') for image in images}
    if len({name.lower() for name in joined.values()}) < len(joined):
        raise ValueError('images have names that differ by capital letters only')
    return joined


def to_coco(
    items: Sequence[BoxItem],
    masks: Mapping[str, ItemMask],
    names: Mapping[str, str],
    sizes: Mapping[str, tuple[int, int]],
    shape: str = 'polygon',
    notes: Mapping[str, str] | None = None,
) -> dict:
    """COCO annotations to be corrected.

    Items with the same box in the same image are one object with several
    sentences: one annotation. Its ``attributes`` tell the items, the sentences
    and the annotators' notes.

    Args:
        items: The items.
        masks: Mask by item.
        names: File name by image.
        sizes: Height and width by image.
        shape: 'polygon', which every tool reads, but which has no holes: they
            are filled (parts come largest first); or 'rle', the exact mask
            (``iscrowd`` 1, as CVAT wants masks).
        notes: Remarks by item.

    Returns:
        ``images``, ``annotations`` and ``categories``.

    Raises:
        ValueError: ``shape`` is unknown.
    """
    if shape not in SHAPES:
        raise ValueError(f'shape must be one of {SHAPES}, got {shape!r}')
    images = sorted({item.image for item in items})
    categories = sorted({item.category for item in items})
    annotations = []
    for (image, _, category), group in _objects(items).items():
        annotation = dict(
            id=len(annotations) + 1,
            image_id=images.index(image) + 1,
            category_id=categories.index(category) + 1,
            **_shape(masks[group[0].item_id], group[0].box, shape),
        )
        annotation['attributes'] = dict(
            item_ids=' '.join(item.item_id for item in group),
            expression=' | '.join(text for item in group for text in item.expressions),
            note=' | '.join(
                filter(None, ((notes or {}).get(item.item_id) for item in group))
            ),
        )
        annotations.append(annotation)
    return dict(
        images=[
            dict(
                id=number,
                file_name=names[image],
                height=sizes[image][0],
                width=sizes[image][1],
            )
            for number, image in enumerate(images, 1)
        ],
        annotations=annotations,
        categories=[dict(id=i, name=name) for i, name in enumerate(categories, 1)],
    )


def from_coco(
    path: Path,
    items: Sequence[BoxItem],
    names: Mapping[str, str],
    sizes: Mapping[str, tuple[int, int]],
) -> dict[str, ItemMask]:
    """Reads corrected masks.

    Tools number annotations anew and drop what they don't know, so an annotation
    is matched by image, category and place: it belongs to the box that it fits
    best. Several annotations of one box are joined; those without a shape, which
    are mere boxes, don't count.

    Args:
        path: COCO JSON that CVAT or Label Studio exported.
        items: The items that were to be corrected.
        names: File name by image, as it was exported.
        sizes: Height and width by image.

    Returns:
        Corrected mask by item; only items that the file has.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or an annotation can't be matched.
    """
    content = read_json(path)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f'{path}: this is no COCO JSON, it has no list {key!r}')
    by_name = {name: image for image, name in names.items()}
    images = {entry['id']: entry for entry in content['images']}
    categories = {entry['id']: entry['name'] for entry in content['categories']}
    objects = _objects(items)
    drawn: dict[tuple, np.ndarray] = {}
    for annotation in content['annotations']:
        # Label Studio's importer adds a rectangle to every polygon, and exports
        # both. An item that has nothing else stays to be fixed.
        if not annotation.get('segmentation'):
            continue
        where = f'{path}: annotation {annotation.get("id")!r}'
        try:
            image = _image_of(images[annotation['image_id']], by_name, sizes)
            category = categories[annotation['category_id']]
            mask = decode_segmentation(annotation['segmentation'], *sizes[image])
        except KeyError as error:
            raise ValueError(f'{where}: no entry {error}') from None
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from None
        rivals = [key for key in objects if key[0] == image and key[2] == category]
        key = _best(mask, rivals, f'{where} ({category!r} in {image})')
        drawn[key] = drawn[key] | mask if key in drawn else mask
    return {
        item.item_id: ItemMask.from_array(mask, corrected=True)
        for key, mask in drawn.items()
        for item in objects[key]
    }


def _objects(items):
    """Items by image, box and category."""
    objects: dict[tuple, list[BoxItem]] = {}
    for item in items:
        objects.setdefault((item.image, item.box, item.category), []).append(item)
    return objects


def _shape(mask, box, shape):
    """Segmentation, box and area of a mask as COCO has them."""
    pixels = mask.to_array()
    if not pixels.any():
        # Tools drop annotations without a shape: the box is a start.
        segmentation, crowd = [_rectangle(box)], 0
    elif shape == 'polygon':
        parts = [o.corners for o in trace_outlines(pixels) if not o.is_hole]
        # Label Studio's importer takes the first part only.
        parts.sort(key=cv2.contourArea, reverse=True)
        segmentation, crowd = [part.ravel().tolist() for part in parts], 0
    else:
        counts = _run_lengths(pixels)
        segmentation, crowd = dict(size=list(pixels.shape), counts=counts), 1
    height, width = pixels.shape
    rles = mask_utils.frPyObjects(segmentation, height, width)
    rle = mask_utils.merge(rles) if isinstance(rles, list) else rles
    return dict(
        segmentation=segmentation,
        bbox=[float(value) for value in mask_utils.toBbox(rle)],
        area=float(mask_utils.area(rle)),
        iscrowd=crowd,
    )


def _rectangle(box):
    left, top, right, bottom = box
    return [left, top, right, top, right, bottom, left, bottom]


def _run_lengths(mask):
    """Uncompressed run lengths, column by column, from the background on."""
    flat = mask.ravel(order='F')
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff([0, *changes, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


def _image_of(entry, by_name, sizes):
    """Image that an entry of a tool's export is about."""
    name = PurePosixPath(str(entry['file_name']).replace('\\', '/')).name
    if name not in by_name:
        # Label Studio puts eight digits of its own in front.
        name = re.sub(r'^[0-9a-f]{8}-', '', name)
    if name not in by_name:
        raise ValueError(
            f'its image {entry["file_name"]!r} is none of those to be corrected'
        )
    image = by_name[name]
    size = (entry.get('height'), entry.get('width'))
    if None not in size and size != tuple(sizes[image]):
        raise ValueError(
            f'its image {entry["file_name"]!r} has the height and width {size}, '
            f'but {tuple(sizes[image])} here'
        )
    return image


def _best(mask, rivals, where):
    """The object whose box a drawn mask fits best."""
    if not mask.any():
        raise ValueError(f'{where} has no pixels')
    scored = []
    for key in rivals:
        measures = measure_mask(mask, key[1])
        inside = 1 - measures.outside_share
        if inside >= LEAST_INSIDE:
            scored.append((inside + measures.box_iou, key))
    if not scored:
        raise ValueError(
            f'{where} lies in no box of an item to be corrected; such annotations '
            'must be drawn where the box is, with the category of the item'
        )
    scored.sort(key=lambda pair: -pair[0])
    if len(scored) > 1 and scored[0][0] - scored[1][0] < MARGIN:
        raise ValueError(
            f'{where} fits two boxes equally well, {scored[0][1][1]} and '
            f'{scored[1][1][1]}; draw the parts of an object as one annotation'
        )
    return scored[0][1]
