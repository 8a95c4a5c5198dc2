# SPDX-License-Identifier: Apache-2.0
"""Runs SAM over all images, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..datasets.formats import BadEntries, BoxItem, box_in_image
from ..datasets.image_files import read_rgb
from ..utils.files import digest
from ..utils.progress import progress_bar
from .mask_store import ImageRecord, ItemMask, MaskStore
from .sam import SamBoxSegmenter


def by_image(items: Iterable[BoxItem]) -> dict[str, list[BoxItem]]:
    """Items of each image, both in their order."""
    groups: dict[str, list[BoxItem]] = {}
    for item in items:
        groups.setdefault(item.image, []).append(item)
    return groups


def segment_items(
    items: Sequence[BoxItem],
    images: Path,
    store: MaskStore,
    segmenter: SamBoxSegmenter,
    bad: BadEntries | None = None,
    progress: bool = True,
) -> dict[str, ItemMask]:
    """Makes the masks that are missing.

    A record is written after each image, in one step: a process that is killed
    and started again gives the same files as one that wasn't.

    Args:
        items: The items.
        images: Folder of the images.
        store: Where the records are.
        segmenter: The model.
        bad: Gets unreadable images and boxes outside of theirs.
        progress: Whether to show a progress bar with the time left.

    Returns:
        Mask by item.

    Raises:
        ValueError: An entry is bad, and ``bad`` doesn't leave it out.
    """
    bad = bad or BadEntries()
    store.clean()
    groups = by_image(items)
    records = {
        image: store.fits(image, Path(images) / image, group)
        for image, group in groups.items()
    }
    missing = [image for image, record in records.items() if record is None]
    for image in progress_bar(missing, len(missing), show=progress):
        path = Path(images) / image
        with bad.around(str(path)):
            records[image] = _segment(path, groups[image], store, segmenter)
            store.write(records[image])
    masks: dict[str, ItemMask] = {}
    for image, record in records.items():
        if record is not None:
            _report(record, Path(images) / image, bad)
            masks.update(store.masks(record))
    return masks


def _segment(path, items, store, segmenter):
    image, data = read_rgb(path)
    height, width = image.shape[:2]
    entries, boxes = [], []
    for item in items:
        entry = dict(item_id=item.item_id, box=list(item.box))
        try:
            boxes.append(box_in_image(item.box, height, width))
        except ValueError as error:
            entry['reason'] = str(error)
        entries.append(entry)
    masks, scores = segmenter.segment(image, boxes)
    results = iter(zip(masks, scores, strict=True))
    for entry in entries:
        if 'reason' not in entry:
            mask, score = next(results)
            entry['counts'] = ItemMask.from_array(mask).rle['counts']
            entry['predicted_iou'] = round(float(score), 5)
    return ImageRecord(
        image=items[0].image,
        size=(height, width),
        content=digest(data),
        settings=store.settings,
        items=entries,
    )


def _report(record, path, bad):
    for entry in record.items:
        if 'reason' in entry:
            bad.add(f'{path}: item {entry["item_id"]}', entry['reason'])
