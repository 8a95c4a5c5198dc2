# SPDX-License-Identifier: Apache-2.0
"""Step 3 of the paper's construction: the dataset in the RefCOCO layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmcadformer.version import __version__

from ..datasets.formats import BoxItem, write_refcoco
from .coco_exchange import flat_names
from .consensus import agreement
from .outcome import Outcome
from .review_state import ACCEPT, FIX, REJECT, Review
from .segmentation import by_image
from .splits import RATIOS, split_items
from .summary import count_table
from .workspace import Workspace

UNDECIDED = ('error', 'keep', 'drop')
RECORD = 'build.json'


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
        workspace: Items and images.
        root: Root folder of the data.
        name: Name of the dataset.
        outcome: Masks and decisions.
        reviews: The reviews, for the record.
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
        left_out=left_out,
    )
    names = flat_names(list(by_image(items)))
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
    if not there:
        return
    if not overwrite:
        raise FileExistsError(
            f'{there[0]} is there already; choose another name, or allow to '
            'overwrite it'
        )
    own = (folder / RECORD).is_file()
    if not own or images.resolve().is_relative_to(pictures.resolve()):
        raise FileExistsError(
            f'{there[0]} was not written by this tool, or holds the images to read; '
            'choose another name or folder'
        )


def _records(
    items: Iterable[BoxItem],
    outcome: Outcome,
    splits: Mapping[str, str],
    images: Path,
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


def _select(workspace, outcome, undecided, drop_unfixed):
    """Items that stay, and why the others don't."""
    if undecided not in UNDECIDED:
        raise ValueError(f'undecided must be one of {UNDECIDED}, got {undecided!r}')
    ids = [item.item_id for item in workspace.items]
    states = (ACCEPT, FIX, REJECT, 'disputed', 'undecided')
    by_state = {state: outcome.items(state, ids) for state in states}
    settled = {ACCEPT, REJECT}
    settled |= {FIX} if drop_unfixed else set()
    settled |= set() if undecided == 'error' else {'undecided'}
    _check_ready({s: by_state[s] for s in states if s not in settled and by_state[s]})
    kept = set(by_state[ACCEPT])
    kept |= set(by_state['undecided']) if undecided == 'keep' else set()
    reasons = {item: state for state, items in by_state.items() for item in items}
    for item in list(kept):
        if not outcome.masks[item].to_array().any():
            kept.remove(item)
            reasons[item] = 'the mask is empty'
    if not kept:
        raise ValueError('no item is left for the dataset')
    left_out = [
        dict(where=f'item {item}', reason=reasons[item])
        for item in ids
        if item not in kept
    ]
    return kept, workspace.skipped + left_out


def _check_ready(unsettled):
    advice = {
        FIX: (
            'to fix',
            'correct their masks and give the file with --corrected, or leave '
            'them out with --drop-unfixed',
        ),
        'disputed': ('disputed', "give the panel's decisions with --final"),
        'undecided': ('undecided', 'review them, or say --undecided keep or drop'),
    }
    if unsettled:
        lines = [
            f'{len(items)} items are {advice[state][0]}, such as {items[0]!r}: '
            f'{advice[state][1]}'
            for state, items in unsettled.items()
        ]
        raise ValueError('the dataset is not ready:\n  ' + '\n  '.join(lines))
