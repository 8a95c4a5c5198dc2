# SPDX-License-Identifier: Apache-2.0
"""Masks go out to an annotation tool, and come back corrected."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..utils.files import write_json
from .coco_exchange import flat_names, from_coco, to_coco
from .mask_store import ItemMask
from .outcome import Outcome
from .review_state import FIX
from .rules import RULES, Rule
from .segmentation import by_image
from .workspace import Workspace, suspicion_of


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
        workspace: Items and images.
        folder: Gets ``annotations.json`` and ``images/``.
        outcome: Masks and decisions. Items to fix are exported.
        min_suspicion: Export undecided items as well that are at least this
            suspicious.
        shape: 'polygon' or 'rle', see :func:`to_coco`.
        rules: Rules for the flags.

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
        rated = suspicion_of(workspace, outcome.masks, rules)
        undecided = outcome.items('undecided', ids)
        chosen |= {i for i in undecided if rated[i][1].score >= min_suspicion}
    items = [item for item in workspace.items if item.item_id in chosen]
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
    workspace: Workspace, paths: Sequence[Path]
) -> dict[str, ItemMask]:
    """Reads corrected COCO files; later ones overrule earlier ones.

    Raises:
        FileNotFoundError, ValueError: See :func:`from_coco`.
    """
    names = flat_names(list(by_image(workspace.items)))
    corrected: dict[str, ItemMask] = {}
    for path in paths:
        corrected |= from_coco(path, workspace.items, names, workspace.sizes)
    return corrected
