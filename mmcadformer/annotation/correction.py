# SPDX-License-Identifier: Apache-2.0
"""Flagged masks go to CVAT or Label Studio as COCO JSON, and come back corrected."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from ..datasets.formats import BoxItem
from ..datasets.formats.instances import make_instances
from ..datasets.masks import decode_segmentation, rle_counts, without_degenerate
from ..utils.files import read_json, write_json
from ..utils.log import warn
from ..utils.outlines import trace_outlines
from ..utils.plain_data import shorten
from ..utils.text import check_choice
from .quality import RULES, Rule, measure_mask
from .reviews import FIX, Outcome
from .workspace import ItemMask, Workspace, by_image

SHAPES = ('polygon', 'rle')
# An annotation belongs to a box that holds at least this share of it.
LEAST_INSIDE = 0.5
# Two boxes whose scores are closer than this can't be told apart.
MARGIN = 0.05

_KEYS = dict(
    images=('id', 'file_name'),
    annotations=('image_id', 'category_id'),
    categories=('id', 'name'),
)
_Key = tuple[str, tuple[float, float, float, float], str]
"""Image, box and category of an object."""


def export_for_correction(
    workspace: Workspace,
    folder: Path,
    outcome: Outcome,
    min_suspicion: float | None = None,
    shape: str = 'polygon',
    rules: Mapping[str, Rule] = RULES,
) -> int:
    """Writes flagged masks and their images for CVAT or Label Studio.

    Args:
        folder: Gets ``annotations.json`` and ``images/``.
        outcome: Tells the items to fix, which are exported.
        min_suspicion: Undecided items that are at least this suspicious are, too.
        shape: 'polygon' or 'rle', see :func:`to_coco`.

    Returns:
        Number of items.

    Raises:
        FileExistsError: The folder isn't empty: corrections may be in it.
        ValueError: There is nothing to export.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} is not empty; choose another folder')
    ids = [item.item_id for item in workspace.items]
    chosen = set(outcome.items(FIX, ids))
    if min_suspicion is not None:
        rated = workspace.rate(outcome.masks, rules)
        undecided = outcome.items('undecided', ids)
        chosen |= {i for i in undecided if rated[i][1].score >= min_suspicion}
    items = [
        item
        for item in workspace.items
        if item.item_id in chosen and item.box is not None
    ]
    if not items:
        raise ValueError(
            'there is nothing to correct: no item is to fix. Give reviews with '
            '--apply-review, or a --min-suspicion from which on masks are exported'
        )
    names = flat_names(list(by_image(workspace.items)))
    notes = {
        item: '; '.join(vote['note'] for vote in outcome.votes(item)) for item in chosen
    }
    content = to_coco(items, outcome.masks, names, workspace.sizes, shape, notes)
    (folder / 'images').mkdir(parents=True)
    for image in by_image(items):
        shutil.copyfile(workspace.images / image, folder / 'images' / names[image])
    write_json(folder / 'annotations.json', content)
    return len(items)


def read_corrections(
    workspace: Workspace, paths: Iterable[Path]
) -> dict[str, ItemMask]:
    """Reads corrected COCO files; later ones overrule earlier ones.

    Tools number annotations anew and drop what they don't know, so an annotation
    is matched by image, category and place: it belongs to the box that it fits
    best. Several annotations of one box are joined; those without a shape, which
    are mere boxes, don't count.

    Returns:
        Corrected mask by item; only items that the files have.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or an annotation can't be matched.
    """
    names = flat_names(list(by_image(workspace.items)))
    images = {name: image for image, name in names.items()}
    corrected: dict[str, ItemMask] = {}
    for path in paths:
        corrected |= _read_correction(path, workspace, images)
    return corrected


def flat_names(images: Sequence[str]) -> dict[str, str]:
    """File name by image, with the names of its folders where need be."""
    own = [PurePosixPath(image).name for image in images]
    if len({name.lower() for name in own}) == len(own):
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
        masks, notes: Mask, and remark if any, by item.
        names, sizes: File name, and height and width, by image.
        shape: 'polygon', which every tool reads, but which has no holes: they
            are filled (parts come largest first); or 'rle', the exact mask
            (``iscrowd`` 1, as CVAT wants masks).
    """
    check_choice('shape', shape, SHAPES)
    images = {image: i for i, image in enumerate(sorted(by_image(items)), 1)}
    named = sorted({item.category for item in items})
    records: list[dict] = []
    for (image, box, category), group in _objects(items).items():
        remarks = [(notes or {}).get(item.item_id) for item in group]
        attributes = dict(
            item_ids=' '.join(item.item_id for item in group),
            expression=' | '.join(text for item in group for text in item.expressions),
            note=' | '.join(filter(None, remarks)),
        )
        records.append(
            dict(
                img_path=image,
                image_id=images[image],
                ann_id=len(records) + 1,
                category=category,
                height=sizes[image][0],
                width=sizes[image][1],
                segmentation=_segmentation(masks[group[0].item_id], box, shape),
                attributes=attributes,
            )
        )
    content = make_instances(records, names, named)
    for annotation in content['annotations']:
        (first, *_) = annotation['segmentation']
        if isinstance(first, dict):
            exact = dict(first, counts=rle_counts(first['counts']).tolist())
            annotation.update(segmentation=exact, iscrowd=1)
    return content


def _objects(items: Iterable[BoxItem]) -> dict[_Key, list[BoxItem]]:
    objects: dict[_Key, list[BoxItem]] = {}
    for item in items:
        if item.box is not None:
            key = (item.image, item.box, item.category)
            objects.setdefault(key, []).append(item)
    return objects


def _segmentation(mask: ItemMask, box: Sequence[float], shape: str) -> list:
    pixels = mask.to_array()
    if not pixels.any():
        # Tools drop annotations without a shape: the box is a start.
        left, top, right, bottom = box
        return [[left, top, right, top, right, bottom, left, bottom]]
    if shape == 'rle':
        return [mask.rle]
    parts = [o.corners for o in trace_outlines(pixels) if not o.is_hole]
    # Label Studio's importer takes the first part only.
    parts.sort(key=cv2.contourArea, reverse=True)
    return [part.ravel().tolist() for part in parts]


def _read_correction(
    path: Path, workspace: Workspace, names: Mapping[str, str]
) -> dict[str, ItemMask]:
    content = read_json(path)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f'{path}: this is not COCO JSON, it has no list {key!r}')
        _check_entries(content, key, path)
    images = {entry['id']: entry for entry in content['images']}
    categories = {entry['id']: entry['name'] for entry in content['categories']}
    objects = _objects(workspace.items)
    drawn: dict[_Key, np.ndarray] = {}
    for annotation in content['annotations']:
        # Label Studio's importer adds a rectangle to every polygon, and exports
        # both. An item that has nothing else stays to be fixed.
        if not annotation.get('segmentation'):
            continue
        where = f'{path}: annotation {shorten(annotation.get("id"))}'
        try:
            image = _image_of(images[annotation['image_id']], names, workspace.sizes)
            category = categories[annotation['category_id']]
            size = workspace.sizes[image]
            shapes, left_out = without_degenerate(annotation['segmentation'])
            mask = decode_segmentation(shapes, *size)
        except KeyError as error:
            raise ValueError(f'{where}: no entry {error}') from None
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from None
        if left_out:
            parts = f'{left_out} part{"s" * (left_out > 1)}'
            warn(f'{where}: {parts} of fewer than three points left out')
        rivals = [key for key in objects if key[0] == image and key[2] == category]
        best = _best(mask, rivals, f'{where} ({category!r} in {image})')
        drawn[best] = drawn[best] | mask if best in drawn else mask
    return {
        item.item_id: ItemMask.from_array(mask, corrected=True)
        for key, mask in drawn.items()
        for item in objects[key]
    }


def _check_entries(content: Mapping, key: str, path: Path) -> None:
    """Raises ValueError unless each entry of a list has what it needs."""
    needed = _KEYS[key]
    for position, entry in enumerate(content[key]):
        values = [
            entry.get(name) if isinstance(entry, dict) else None for name in needed
        ]
        if not all(isinstance(value, (str, int)) for value in values):
            raise ValueError(
                f'{path}: {key}[{position}] must have {" and ".join(needed)}, text or '
                f'numbers, got {shorten(entry)}'
            )


def _image_of(
    entry: Mapping, names: Mapping[str, str], sizes: Mapping[str, tuple[int, int]]
) -> str:
    """Image that an entry of a tool's export is about."""
    name = PurePosixPath(str(entry['file_name']).replace('\\', '/')).name
    if name not in names:
        # Label Studio puts eight digits of its own in front.
        name = re.sub(r'^[0-9a-f]{8}-', '', name)
    if name not in names:
        raise ValueError(
            f'its image {shorten(entry["file_name"])} is none of those to be corrected'
        )
    image = names[name]
    size = (entry.get('height'), entry.get('width'))
    if None not in size and size != tuple(sizes[image]):
        raise ValueError(
            f'its image {shorten(entry["file_name"])} has the height and width {size}, '
            f'but {tuple(sizes[image])} here'
        )
    return image


def _best(mask: np.ndarray, rivals: Iterable[_Key], where: str) -> _Key:
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
