# SPDX-License-Identifier: Apache-2.0
"""The dataset in the RefCOCO layout (paper Sec. III-A, step 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from ..datasets.formats import BoxItem, check_inside, write_refcoco
from ..datasets.targets import NONE, no_target, record_targets
from ..utils.text import check_choice
from ..version import __version__
from .correction import flat_names
from .reviews import ACCEPT, FIX, Outcome, Review, agreement
from .splits import RATIOS, count_table, split_items
from .workspace import Workspace, by_image, by_sentence

UNDECIDED = ('error', 'keep', 'drop')
RECORD = 'build.json'

_ADVICE = {
    FIX: (
        'to fix',
        'correct their masks and give the file with --corrected, or leave them out '
        'with --drop-unfixed',
    ),
    'disputed': ('disputed', "give the panel's decisions with --final"),
    'undecided': ('undecided', 'review them, or say --undecided keep or drop'),
}


def build_dataset(
    workspace: Workspace,
    root: Path,
    name: str,
    outcome: Outcome,
    reviews: Sequence[Review] = (),
    undecided: str = 'error',
    drop_unfixed: bool = False,
    split_method: str = 'stratified',
    ratios: Mapping[str, float] = RATIOS,
    seed: int = 0,
    shared_images: bool = False,
    rename: Mapping[str, str] | None = None,
    image_mode: str = 'copy',
    refs_as_json: bool = False,
    overwrite: bool = False,
) -> dict:
    """Writes what was accepted in the RefCOCO layout.

    Args:
        root, name: Where it goes: ``<root>/<name>`` and ``<root>/images/<name>``.
        reviews: For the record.
        undecided: What becomes of items that nobody decided: 'error', 'keep' or
            'drop'.
        drop_unfixed: Leave out items to fix that nobody corrected; an error
            otherwise.
        split_method, ratios, seed, shared_images: See :func:`split_items`.
        rename: New names of categories by old name.
        image_mode, refs_as_json: See :func:`write_refcoco`.
        overwrite: Replace a dataset that was built before.

    Returns:
        What ``build.json`` holds: ``table`` (objects per category and split),
        ``left_out``, ``splits``, settings.

    Raises:
        ValueError: Items aren't decided, corrected or split.
        FileExistsError: There is such a dataset, and ``overwrite`` is off or it was
            not built here.
    """
    _check_free(Path(root), name, workspace.images, overwrite)
    kept, left_out = _select(workspace, outcome, undecided, drop_unfixed)
    items = [
        replace(item, category=(rename or {}).get(item.category, item.category))
        for item in workspace.items
        if item.item_id in kept
    ]
    splits = split_items(
        items, workspace.contents, split_method, ratios, seed, shared_images
    )
    drawn = sum(item.item_id in outcome.corrected for item in items)
    about = dict(
        name=name,
        mmcadformer=__version__,
        source=workspace.about['source'],
        sam=workspace.about['sam'],
        masks=dict(sam=sum(map(_has_box, items)) - drawn, corrected=drawn),
        annotators=sorted({review.annotator for review in reviews}),
        agreement=agreement(reviews),
        splits=dict(
            method=split_method,
            seed=seed,
            ratios=dict(ratios),
            shared_images=shared_images,
        ),
        table=count_table((item.category, splits[item.item_id]) for item in items),
        left_out=workspace.skipped + left_out,
    )
    names = flat_names(list(by_image(items)))
    pictures = [workspace.images / image for image in names]
    check_inside(pictures, [workspace.images])
    write_refcoco(
        _records(items, outcome, splits, workspace.images),
        root,
        name,
        image_mode,
        names={str(workspace.images / image): names[image] for image in names},
        beside={RECORD: about},
        refs_as_json=refs_as_json,
        replace=overwrite,
        progress=False,
    )
    return about


def _check_free(root: Path, name: str, images: Path, overwrite: bool) -> None:
    folder, pictures = root / name, root / 'images' / name
    there = [path for path in (folder, pictures) if path.exists()]
    if there and not overwrite:
        raise FileExistsError(
            f'{there[0]} is there already; choose another name, or allow to '
            'overwrite it'
        )
    foreign = not (folder / RECORD).is_file()
    foreign |= images.resolve().is_relative_to(pictures.resolve())
    if there and foreign:
        raise FileExistsError(
            f'{there[0]} was not written by this tool, or holds the images to read; '
            'choose another name or folder'
        )


def _select(
    workspace: Workspace, outcome: Outcome, undecided: str, drop_unfixed: bool
) -> tuple[set[str], list[dict]]:
    """Items that stay, and why the others don't."""
    check_choice('undecided', undecided, UNDECIDED)
    ids = [item.item_id for item in workspace.items]
    states = {item: outcome.state(item) for item in ids}
    settled = {FIX} if drop_unfixed else set()
    settled |= set() if undecided == 'error' else {'undecided'}
    lines = []
    for state, (name, advice) in _ADVICE.items():
        items = [item for item in ids if states[item] == state]
        if items and state not in settled:
            lines.append(
                f'{len(items)} items are {name}, such as {items[0]!r}: {advice}'
            )
    if lines:
        raise ValueError('the dataset is not ready:\n  ' + '\n  '.join(lines))
    accepted = {ACCEPT, 'undecided'} if undecided == 'keep' else {ACCEPT}
    reasons = _reasons(workspace.items, outcome, accepted)
    if len(reasons) == len(ids):
        raise ValueError('no item is left for the dataset')
    left_out = [dict(where=f'item {item}', reason=why) for item, why in reasons.items()]
    return set(ids) - reasons.keys(), left_out


def _reasons(
    items: Sequence[BoxItem], outcome: Outcome, accepted: set[str]
) -> dict[str, str]:
    """Why items are left out, by id."""
    reasons = {}
    for item in items:
        state = outcome.state(item.item_id)
        if state not in accepted:
            reasons[item.item_id] = state
        elif _has_box(item) and not outcome.masks[item.item_id].to_array().any():
            reasons[item.item_id] = 'the mask is empty'
    why = 'another object of its sentence is left out'
    for group in by_sentence(items).values():
        if any(item.item_id in reasons for item in group):
            for item in group:
                reasons.setdefault(item.item_id, why)
    return reasons


def _records(
    items: Sequence[BoxItem], outcome: Outcome, splits: Mapping[str, str], images: Path
) -> list[dict]:
    """Every sentence as a reference with objects of its own.

    So it is in RRSIS-HR, where sentences and masks are counted as triplets.
    """
    image_ids = {name: i for i, name in enumerate(sorted(by_image(items)), 1)}
    records: list[dict] = []
    sentences, ann_ids = 0, count(1)
    for number, group in enumerate(by_sentence(items).values(), 1):
        item = group[0]
        height, width = outcome.masks[item.item_id].rle['size']
        first, sentences = sentences + 1, sentences + len(item.expressions)
        records.append(
            dict(
                img_path=str(images / item.image),
                image_id=image_ids[item.image],
                ref_id=number,
                height=height,
                width=width,
                expressions=list(item.expressions),
                sent_ids=list(range(first, sentences + 1)),
                split=splits[item.item_id],
                **_targets(group, outcome, ann_ids),
            )
        )
    return records


def _targets(
    group: Sequence[BoxItem], outcome: Outcome, ann_ids: Iterator[int]
) -> dict:
    """The keys of a record that tell what its sentence means."""
    targets = [
        dict(
            ann_id=next(ann_ids),
            category=item.category,
            segmentation=[outcome.masks[item.item_id].rle],
            attributes=dict(item_id=item.item_id, box=list(item.box)),
        )
        for item in group
        if item.box is not None
    ]
    if not targets:
        return no_target(category=group[0].category, kind=group[0].kind or NONE)
    told = record_targets(targets, group[0].kind)
    return told if len(targets) > 1 else {**targets[0], **told}


def _has_box(item: BoxItem) -> bool:
    """Whether there is an object, and so a mask."""
    return item.box is not None
