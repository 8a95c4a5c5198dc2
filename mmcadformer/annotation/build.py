# SPDX-License-Identifier: Apache-2.0
"""The dataset in the RefCOCO layout (paper Sec. III-A, step 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..datasets.formats import BoxItem, check_inside, write_refcoco
from ..utils.text import check_choice
from ..version import __version__
from .correction import flat_names
from .reviews import ACCEPT, FIX, Outcome, Review, agreement
from .splits import RATIOS, count_table, split_items
from .workspace import Workspace, by_image

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
        masks=dict(sam=len(items) - drawn, corrected=drawn),
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
    reasons = {}
    for item, state in states.items():
        if state not in accepted:
            reasons[item] = state
        elif not outcome.masks[item].to_array().any():
            reasons[item] = 'the mask is empty'
    if len(reasons) == len(ids):
        raise ValueError('no item is left for the dataset')
    left_out = [dict(where=f'item {item}', reason=why) for item, why in reasons.items()]
    return set(ids) - reasons.keys(), left_out


def _records(
    items: Sequence[BoxItem], outcome: Outcome, splits: Mapping[str, str], images: Path
) -> list[dict]:
    """Every item as an object with a reference of its own.

    So it is in RRSIS-HR, where sentences and masks are counted as triplets.
    """
    image_ids = {name: i for i, name in enumerate(sorted(by_image(items)), 1)}
    records: list[dict] = []
    sentences = 0
    for number, item in enumerate(items, 1):
        rle = outcome.masks[item.item_id].rle
        first, sentences = sentences + 1, sentences + len(item.expressions)
        records.append(
            dict(
                img_path=str(images / item.image),
                image_id=image_ids[item.image],
                ref_id=number,
                ann_id=number,
                category=item.category,
                height=rle['size'][0],
                width=rle['size'][1],
                segmentation=[rle],
                expressions=list(item.expressions),
                sent_ids=list(range(first, sentences + 1)),
                split=splits[item.item_id],
                attributes=dict(item_id=item.item_id, box=list(item.box)),
            )
        )
    return records
