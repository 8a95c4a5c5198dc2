# SPDX-License-Identifier: Apache-2.0
"""The folder in which a dataset is built: items, masks and what they are like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_utils

from ..datasets.formats import (
    BadEntries,
    BoxItem,
    box_in_image,
    read_items,
    write_items,
)
from ..datasets.masks import encode_mask
from ..imagery import read_picture
from ..utils.files import digest, read_json, remove_unfinished, write_json
from ..utils.progress import progress_bar
from .quality import (
    NOTHING,
    RULES,
    MaskMeasures,
    Rule,
    Suspicion,
    measure_mask,
    rate,
)
from .sam import SamBoxSegmenter

ITEMS, MASKS, QUALITY, SKIPPED = 'items.json', 'masks', 'quality.json', 'skipped.json'
FORMAT, VERSION = 'mmcadformer-masks', 1


@dataclass(frozen=True)
class ItemMask:
    """The mask of an item, as compressed run lengths."""

    rle: dict
    predicted_iou: float | None = None  # what SAM expects
    corrected: bool = False  # a person drew it

    @classmethod
    def from_array(cls, mask: np.ndarray, corrected: bool = False) -> ItemMask:
        """Encodes a boolean mask (H, W)."""
        return cls(encode_mask(mask), corrected=corrected)

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

    ``items`` are id, box, mask and predicted IoU of each, no box and an empty mask
    where a sentence means nothing; of those whose box can't be used, id, box and the
    ``reason``.
    """

    image: str  # below the image folder
    size: tuple[int, int]  # height and width in pixels
    content: str  # fingerprint of the file
    settings: str  # fingerprint of those that the masks were made with
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
    """One file per image, so that work can go on where it stopped.

    Records that were made with other settings, of which ``settings`` is the
    fingerprint, don't count.
    """

    def __init__(self, folder: Path, settings: str) -> None:
        self.folder = folder
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
        """The record of an image, if there is one with these settings.

        Raises:
            ValueError: It is damaged.
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
        there = [(entry['item_id'], entry['box']) for entry in record.items]
        wanted = [(item.item_id, item.box and list(item.box)) for item in items]
        return record if there == wanted else None


def by_image(items: Iterable[BoxItem]) -> dict[str, list[BoxItem]]:
    """Items of each image, both in their order."""
    groups: dict[str, list[BoxItem]] = {}
    for item in items:
        groups.setdefault(item.image, []).append(item)
    return groups


def by_sentence(items: Iterable[BoxItem]) -> dict[str, list[BoxItem]]:
    """Items of each sentence, both in their order."""
    groups: dict[str, list[BoxItem]] = {}
    for item in items:
        groups.setdefault(item.sentence, []).append(item)
    return groups


def make_workspace(
    folder: Path,
    items: Sequence[BoxItem],
    images: Path,
    source: str,
    segmenter: SamBoxSegmenter,
    bad: BadEntries | None = None,
    rules: Mapping[str, Rule] = RULES,
    overwrite: bool = False,
    progress: bool = True,
) -> Workspace:
    """Makes the masks of all items, or those that are still missing.

    .. code-block:: none

        <folder>
        ├── items.json     the items, their source, the settings of SAM
        ├── masks/         one file per image
        ├── quality.json   measures, flags and suspicion of every mask
        └── skipped.json   what was left out, and why

    Args:
        images: Folder of their images.
        source: What the items were read from, for the record.
        bad: Gets what can't be used; may hold what a source reported already.
        overwrite: Make masks again that were made with other settings.

    Raises:
        FileNotFoundError: The image folder is missing.
        ValueError: Ids repeat, an entry is bad, or the folder has masks that
            were made with other settings.
    """
    folder, images = Path(folder), Path(images)
    bad = bad or BadEntries()
    if not images.is_dir():
        raise FileNotFoundError(f'image folder {images} does not exist')
    items = _usable(items, images, bad)
    settings = segmenter.settings
    _check_settings(folder, settings, overwrite)
    about = dict(
        images=str(images.resolve()), source=source, sam=settings, bad=bad.found
    )
    write_items(folder / ITEMS, items, complete=False, **about)
    store = MaskStore(folder / MASKS, _settings_digest(settings))
    masked = _make_masks(items, images, store, segmenter, bad, progress)
    items = _whole(items, masked, bad)
    if not items:
        raise ValueError(f'{source}: not a single item can be used')
    write_json(folder / SKIPPED, bad.found)
    write_items(folder / ITEMS, items, complete=True, **about)
    workspace = Workspace(folder)
    _write_quality(workspace, rules)
    return workspace


class Workspace:
    """Items with masks in a folder that :func:`make_workspace` filled.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It is damaged, or not finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.items, self.about = read_items(self.folder / ITEMS)
        if not self.about.get('complete'):
            raise ValueError(
                f'{self.folder}: not all masks are made yet; run the same command '
                'again to go on'
            )
        self.images = Path(self.about['images'])  # their folder
        self.masks: dict[str, ItemMask] = {}  # by item
        self.sizes: dict[str, tuple[int, int]] = {}  # height and width, by image
        self.contents: dict[str, str] = {}  # fingerprints of the files, by image
        store = MaskStore(self.folder / MASKS, _settings_digest(self.about['sam']))
        for image, items in by_image(self.items).items():
            record = store.read(image)
            if record is None:
                raise ValueError(
                    f'{store.path(image)} is missing or of other settings; make '
                    'the masks again'
                )
            self.sizes[image] = record.size
            self.contents[image] = record.content
            self.masks |= record.masks
            lacking = [i.item_id for i in items if i.item_id not in record.masks]
            if lacking:
                raise ValueError(
                    f'{store.path(image)} has no mask of item {lacking[0]!r}; make '
                    'the masks again'
                )

    @property
    def skipped(self) -> list[dict]:
        """What was left out: ``where`` and ``reason``."""
        return read_json(self.folder / SKIPPED)

    def rate(
        self, masks: Mapping[str, ItemMask], rules: Mapping[str, Rule] = RULES
    ) -> dict[str, tuple[MaskMeasures, Suspicion]]:
        """Measures and suspicion by item, given its mask."""
        rated = {}
        for item in self.items:
            if item.box is None:
                rated[item.item_id] = NOTHING, Suspicion(0.0, {})
                continue
            mask = masks[item.item_id]
            box = box_in_image(item.box, *self.sizes[item.image])
            measures = measure_mask(mask.to_array(), box, mask.predicted_iou)
            rated[item.item_id] = measures, rate(measures, rules)
        return rated


def _usable(
    items: Sequence[BoxItem], images: Path, bad: BadEntries
) -> Sequence[BoxItem]:
    """Items with an id of their own whose image is there."""
    for item_id, count in Counter(item.item_id for item in items).items():
        if count > 1:
            raise ValueError(f'the item id {item_id!r} is used {count} times')
    there = {image: (images / image).is_file() for image in by_image(items)}
    for image, found in there.items():
        if not found:
            bad.add(str(images / image), 'the image is missing')
    return [item for item in items if there[item.image]]


def _whole(
    items: Iterable[BoxItem], masked: set[str], bad: BadEntries
) -> list[BoxItem]:
    """Items with a mask, of sentences all of whose objects have one."""
    whole: list[BoxItem] = []
    for group in by_sentence(items).values():
        found = [item for item in group if item.item_id in masked]
        if len(found) == len(group):
            whole += found
            continue
        for item in found:
            reason = 'another object of its sentence has no mask'
            bad.add(f'{item.image}: item {item.item_id}', reason)
    return whole


def _check_settings(folder: Path, settings: Mapping[str, str], overwrite: bool) -> None:
    path = folder / ITEMS
    if overwrite or not path.is_file():
        return
    before = read_items(path)[1].get('sam', {})
    if _settings_digest(before) != _settings_digest(settings):
        raise ValueError(
            f'{folder} has masks made with other settings ({before}, now '
            f'{settings}); choose another folder, or make them again with --overwrite'
        )


def _settings_digest(settings: Mapping[str, str]) -> str:
    """Fingerprint of settings; where the weights lie makes no difference."""
    return digest({k: value for k, value in settings.items() if k != 'checkpoint'})


def _make_masks(
    items: Iterable[BoxItem],
    images: Path,
    store: MaskStore,
    segmenter: SamBoxSegmenter,
    bad: BadEntries,
    progress: bool,
) -> set[str]:
    """Makes the masks that are missing; returns the items that have one.

    A record is written after each image, in one step: a process that is killed
    and started again gives the same files as one that wasn't.
    """
    remove_unfinished(store.folder)
    groups = by_image(items)
    records = {
        image: store.find(image, images / image, group)
        for image, group in groups.items()
    }
    missing = [image for image, record in records.items() if record is None]
    for image in progress_bar(missing, len(missing), show=progress):
        with bad.around(str(images / image)):
            record = _segment(image, groups[image], images, store, segmenter)
            store.write(record)
            records[image] = record
    masked: set[str] = set()
    for image, found in records.items():
        for entry in found.items if found else ():
            if 'reason' in entry:
                where = f'{images / image}: item {entry["item_id"]}'
                bad.add(where, entry['reason'])
            else:
                masked.add(entry['item_id'])
    return masked


def _segment(
    image: str,
    items: Sequence[BoxItem],
    images: Path,
    store: MaskStore,
    segmenter: SamBoxSegmenter,
) -> ImageRecord:
    data = (images / image).read_bytes()
    pixels = np.ascontiguousarray(read_picture(data, name=image).rgb)
    height, width = pixels.shape[:2]
    entries, usable, boxes = [], [], []
    for item in items:
        entry: dict = dict(item_id=item.item_id, box=item.box and list(item.box))
        entries.append(entry)
        if item.box is None:
            nothing = encode_mask(np.zeros((height, width), bool))
            entry.update(counts=nothing['counts'], predicted_iou=None)
            continue
        try:
            boxes.append(box_in_image(item.box, height, width))
            usable.append(entry)
        except ValueError as error:
            entry['reason'] = str(error)
    masks, scores = segmenter.segment(pixels, boxes)
    for entry, mask, score in zip(usable, masks, scores, strict=True):
        entry['counts'] = encode_mask(mask)['counts']
        entry['predicted_iou'] = round(float(score), 5)
    return ImageRecord(image, (height, width), digest(data), store.settings, entries)


def _write_quality(workspace: Workspace, rules: Mapping[str, Rule]) -> None:
    """Writes what is known of every mask, the most suspicious first."""
    entries: list[dict] = [
        dict(
            item_id=item_id,
            suspicion=round(suspicion.score, 5),
            flags={k: round(v, 5) for k, v in suspicion.flags.items()},
            measures=asdict(measures),
        )
        for item_id, (measures, suspicion) in workspace.rate(
            workspace.masks, rules
        ).items()
    ]
    entries.sort(key=lambda entry: (-entry['suspicion'], entry['item_id']))
    content = dict(rules={k: vars(v) for k, v in rules.items()}, items=entries)
    write_json(workspace.folder / QUALITY, content)
