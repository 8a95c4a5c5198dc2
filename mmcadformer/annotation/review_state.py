# SPDX-License-Identifier: Apache-2.0
"""What annotators said about masks: the files that the review page saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..utils.files import read_json, write_json

FORMAT = 'mmcadformer-review'
VERSION = 1
ACCEPT, FIX, REJECT = DECISIONS = ('accept', 'fix', 'reject')


@dataclass(frozen=True)
class Decision:
    """What one annotator said about one mask.

    Attributes:
        decision: 'accept', 'fix' (the mask must be corrected) or 'reject' (the
            item is left out).
        mask: Fingerprint of the mask that was looked at.
        note: A remark.
    """

    decision: str
    mask: str
    note: str = ''

    def __post_init__(self):
        if self.decision not in DECISIONS:
            raise ValueError(
                f'decision must be one of {DECISIONS}, got {self.decision!r}'
            )
        if not isinstance(self.mask, str) or not isinstance(self.note, str):
            raise ValueError('mask and note must be text')


@dataclass(frozen=True)
class Review:
    """All decisions of an annotator.

    Attributes:
        annotator: Name of the annotator.
        decisions: Decisions by item.
        path: File they are from.
    """

    annotator: str
    decisions: Mapping[str, Decision]
    path: str = ''


def read_review(path: Path) -> Review:
    """Reads a file that the review page saved.

    An annotator without a name is called as the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or no such file at all.
    """
    content = read_json(path, FORMAT, VERSION)
    entries = content.get('decisions')
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected an object under 'decisions'")
    decisions = {}
    for item_id, entry in entries.items():
        try:
            decisions[item_id] = Decision(**entry)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: item {item_id!r}: {error}') from None
    name = content.get('annotator') or Path(path).stem
    return Review(str(name), decisions, str(path))


def write_review(path: Path, review: Review) -> None:
    """Writes a file as the review page saves it."""
    decisions = {key: vars(value) for key, value in review.decisions.items()}
    write_json(
        path,
        dict(
            format=FORMAT,
            version=VERSION,
            annotator=review.annotator,
            decisions=decisions,
        ),
    )


def check_review(review: Review, masks: Mapping[str, set[str]]) -> None:
    """Checks that a review is about the items and masks at hand.

    Args:
        review: The review.
        masks: Fingerprints of the masks that each item has or had.

    Raises:
        ValueError: An item is unknown, or its mask has changed since.
    """
    unknown = [item for item in review.decisions if item not in masks]
    if unknown:
        raise ValueError(
            f'{review.path}: {len(unknown)} items that are not in this folder, '
            f'such as {unknown[0]!r}; it is a review of something else'
        )
    changed = [
        item
        for item, decision in review.decisions.items()
        if decision.mask not in masks[item]
    ]
    if changed:
        raise ValueError(
            f'{review.path}: the masks of {len(changed)} items, such as '
            f'{changed[0]!r}, have changed since they were reviewed; load the file '
            'into a new review page and look at these again'
        )
