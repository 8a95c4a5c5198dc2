# SPDX-License-Identifier: Apache-2.0
"""Step 2 of the paper's construction: people look at the masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..datasets.image_files import read_rgb
from ..utils.progress import progress_bar
from .outcome import Outcome
from .review_page import PageBuilder, ReviewItem
from .rules import RULES, Rule
from .segmentation import by_image
from .workspace import Workspace, suspicion_of

SHOW = ('all', 'undecided', 'disputed', 'fix', 'corrected')


def write_review(
    workspace: Workspace,
    path: Path,
    outcome: Outcome,
    show: str = 'all',
    min_suspicion: float = 0.0,
    annotator: str = '',
    title: str = '',
    rules: Mapping[str, Rule] = RULES,
    crop_size: int = 384,
    items_per_file: int = 1000,
    progress: bool = True,
) -> list[Path]:
    """Writes the review page.

    Args:
        workspace: Items and images.
        path: HTML file.
        outcome: Masks, and the decisions to show.
        show: Which items: 'all', or only those that are 'undecided',
            'disputed', to 'fix' or 'corrected'.
        min_suspicion: Leave out items that are less suspicious than this.
        annotator: Name to begin with.
        title: Title of the page; the folder's name by default.
        rules: Rules for the flags.
        crop_size: Longest side of the pictures in pixels.
        items_per_file: Most items in one file.
        progress: Whether to show a progress bar.

    Returns:
        The files.

    Raises:
        ValueError: An argument is unknown, or no item is left.
    """
    if show not in SHOW:
        raise ValueError(f'show must be one of {SHOW}, got {show!r}')
    rated = suspicion_of(workspace, outcome.masks, rules)
    chosen = _to_show(workspace, outcome, show)
    chosen = [item for item in chosen if rated[item.item_id][1].score >= min_suspicion]
    if not chosen:
        raise ValueError(
            f'no item to review: none is {show!r} with a suspicion of at least '
            f'{min_suspicion}'
        )
    title = title or f'Masks of {workspace.folder.resolve().name}'
    page = PageBuilder(title, crop_size)
    groups = by_image(chosen)
    for image, group in progress_bar(groups.items(), len(groups), show=progress):
        pixels, _ = read_rgb(workspace.images / image)
        for item in group:
            mask = outcome.masks[item.item_id]
            votes = outcome.votes(item.item_id) if show != 'all' else ()
            page.add(pixels, ReviewItem(item, mask, *rated[item.item_id], votes))
    return page.write(path, annotator, items_per_file)


def _to_show(workspace, outcome, show):
    ids = [item.item_id for item in workspace.items]
    if show == 'all':
        chosen = set(ids)
    elif show == 'corrected':
        chosen = set(outcome.corrected)
    else:
        chosen = set(outcome.items(show, ids))
    return [item for item in workspace.items if item.item_id in chosen]
