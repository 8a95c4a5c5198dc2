# SPDX-License-Identifier: Apache-2.0
"""The folder in which a dataset is built: items, masks and what they are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..datasets.formats import (
    BadEntries,
    BoxItem,
    box_in_image,
    read_items,
    write_items,
)
from ..utils.files import digest, read_json, write_json
from .mask_store import ItemMask, MaskStore
from .quality import MaskMeasures, measure_mask
from .rules import RULES, Rule, Suspicion, rate
from .sam import SamBoxSegmenter
from .segmentation import by_image, segment_items

ITEMS, MASKS, QUALITY, SKIPPED = 'items.json', 'masks', 'quality.json', 'skipped.json'


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
        folder: Where to work.
        items: The items.
        images: Folder of their images.
        source: What the items were read from, for the record.
        segmenter: Makes the masks.
        bad: Gets what can't be used; may hold what a source reported already.
        rules: Rules for the flags.
        overwrite: Make masks again that were made with other settings.
        progress: Whether to show a progress bar.

    Returns:
        The workspace.

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
    masks = segment_items(items, images, store, segmenter, bad, progress)
    items = [item for item in items if item.item_id in masks]
    if not items:
        raise ValueError(f'{source}: not a single item can be used')
    write_json(folder / SKIPPED, bad.found)
    write_items(folder / ITEMS, items, complete=True, **about)
    workspace = Workspace(folder)
    workspace.write_quality(folder / QUALITY, rules)
    return workspace


class Workspace:
    """Items with masks in a folder that :func:`make_workspace` filled.

    Args:
        folder: The folder.

    Attributes:
        items (list[BoxItem]): The items.
        images (Path): Folder of the images.
        masks (dict[str, ItemMask]): Mask by item.
        sizes (dict[str, tuple[int, int]]): Height and width by image.
        contents (dict[str, str]): Fingerprint of the file by image.
        about (dict): Source and settings.

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
        self.images = Path(self.about['images'])
        store = MaskStore(self.folder / MASKS, _settings_digest(self.about['sam']))
        self.masks: dict[str, ItemMask] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.contents: dict[str, str] = {}
        for image in by_image(self.items):
            record = store.read(image)
            if record is None:
                raise ValueError(
                    f'{store.path(image)} is missing or of other settings; make '
                    'the masks again'
                )
            self.sizes[image] = record.size
            self.contents[image] = record.content
            self.masks.update(store.masks(record))
        for item in self.items:
            if item.item_id not in self.masks:
                raise ValueError(
                    f'{store.path(item.image)} has no mask of item '
                    f'{item.item_id!r}; make the masks again'
                )

    def measure(self, item: BoxItem, mask: ItemMask) -> MaskMeasures:
        """Measures a mask of an item."""
        box = box_in_image(item.box, *self.sizes[item.image])
        return measure_mask(mask.to_array(), box, mask.predicted_iou)

    def write_quality(self, path: Path, rules: Mapping[str, Rule] = RULES) -> None:
        """Writes what is known of every mask, the most suspicious first."""
        entries = []
        for item in self.items:
            measures = self.measure(item, self.masks[item.item_id])
            suspicion = rate(measures, rules)
            entries.append(
                dict(
                    item_id=item.item_id,
                    suspicion=round(suspicion.score, 5),
                    flags={k: round(v, 5) for k, v in suspicion.flags.items()},
                    measures=asdict(measures),
                )
            )
        entries.sort(key=lambda entry: (-entry['suspicion'], entry['item_id']))
        content = dict(rules={k: vars(v) for k, v in rules.items()}, items=entries)
        write_json(path, content)

    @property
    def skipped(self) -> list[dict]:
        """What was left out: ``where`` and ``reason``."""
        return read_json(self.folder / SKIPPED)


def suspicion_of(
    workspace: Workspace,
    masks: Mapping[str, ItemMask],
    rules: Mapping[str, Rule] = RULES,
) -> dict[str, tuple[MaskMeasures, Suspicion]]:
    """Measures and suspicion of each item's mask.

    Args:
        workspace: The items.
        masks: Mask by item.
        rules: Rules for the flags.
    """
    measured = {
        item.item_id: workspace.measure(item, masks[item.item_id])
        for item in workspace.items
    }
    return {key: (value, rate(value, rules)) for key, value in measured.items()}


def _usable(items, images, bad):
    """Items with an id of their own whose image is there."""
    for item_id, count in Counter(item.item_id for item in items).items():
        if count > 1:
            raise ValueError(f'the item id {item_id!r} is used {count} times')
    there = {image: (images / image).is_file() for image in by_image(items)}
    for image, found in there.items():
        if not found:
            bad.add(str(images / image), 'the image is missing')
    return [item for item in items if there[item.image]]


def _check_settings(folder, settings, overwrite):
    path = folder / ITEMS
    if overwrite or not path.is_file():
        return
    before = read_items(path)[1].get('sam', {})
    if _settings_digest(before) != _settings_digest(settings):
        raise ValueError(
            f'{folder} has masks made with other settings ({before}, now '
            f'{settings}); choose another folder, or make them again with --overwrite'
        )


def _settings_digest(settings):
    """Fingerprint of settings; where the weights lie makes no difference."""
    return digest(
        {key: settings[key] for key in sorted(settings) if key != 'checkpoint'}
    )
