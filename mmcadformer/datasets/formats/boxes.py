# SPDX-License-Identifier: Apache-2.0
"""Boxes with sentences, which masks are made for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import PurePosixPath
from typing import Any

from ...utils.files import read_json, write_json
from ...utils.plain_data import shorten
from ...utils.text import visible_text
from ..targets import NO_CATEGORY, check_kind

Box = tuple[float, float, float, float]

FORMAT = 'mmcadformer-boxes'
VERSION = 1
# Boxes reach over the image's edge by a pixel or two in published sets, where
# corners were rounded or counted from 1. More than that is damage.
OVERHANG = 2.0


@dataclass(frozen=True)
class BoxItem:
    """An object to segment, or a sentence that means nothing in its image."""

    item_id: str  # unique, the same whenever the source is read
    image: str  # below the image folder, with / between parts
    # Left, top, right, bottom; the first pixel reaches from 0 to 1. None: nothing.
    box: Box | None
    category: str
    expressions: tuple[str, ...]
    split: str | None = None  # that the source puts it in, if it says so
    sentence: str = ''  # the same for all objects that a sentence means; else item_id
    kind: str | None = None  # of the sentence, where it isn't told by the boxes

    def __post_init__(self) -> None:
        if self.box is not None:
            object.__setattr__(self, 'box', _checked_box(self.box))
        object.__setattr__(self, 'sentence', self.sentence or self.item_id)
        object.__setattr__(self, 'expressions', _checked_texts(self.expressions))
        for name in ('item_id', 'image', 'category'):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f'{name} must be text, got {shorten(value)}')
        image = PurePosixPath(self.image)
        if image.is_absolute() or '..' in image.parts:
            raise ValueError(
                f'image {shorten(self.image)} is not below the image folder'
            )


def items_of_sentence(
    item_id: str,
    boxes: Sequence[tuple[Any, str]],
    category: str | None = None,
    kind: str | None = None,
    **shared: Any,
) -> list[BoxItem]:
    """The items of what is said about none, one or several objects of an image.

    Args:
        item_id: Of the one item; items of several are numbered, ``<item_id>/1``.
        boxes: Box and category of each object.
        category: What is looked for where there is none.
        kind: One of the ``EXPRESSION_KINDS``, if the source tells it.
        shared: Other attributes of the items.
    """
    if kind is not None:
        check_kind(kind, len(boxes))
    shared = dict(shared, sentence=item_id, kind=kind)
    if not boxes:
        name = category or NO_CATEGORY
        return [BoxItem(item_id=item_id, box=None, category=name, **shared)]
    ids = [item_id]
    if len(boxes) > 1:
        ids = [f'{item_id}/{number}' for number in range(1, len(boxes) + 1)]
    return [
        BoxItem(item_id=own, box=box, category=name, **shared)
        for own, (box, name) in zip(ids, boxes, strict=True)
    ]


class BadEntries:
    """Collects ``where`` and ``reason`` of bad entries; without ``skip``, raises."""

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self.found: list[dict[str, str]] = []

    def add(self, where: str, reason: str) -> None:
        """Leaves an entry out, or raises ValueError."""
        if not self.skip:
            raise ValueError(
                f'{where}: {reason}. Repair the entry, or leave out all such '
                'entries with --skip-bad'
            )
        self.found.append(dict(where=where, reason=reason))

    @contextmanager
    def around(self, where: str) -> Iterator[None]:
        """Context in which a ValueError is about one entry."""
        try:
            yield
        except ValueError as error:
            self.add(where, str(error))


def box_in_image(box: Sequence[float], height: int, width: int) -> Box:
    """Cuts a box (left, top, right, bottom) at the edges of its image.

    ValueError where it reaches out by more than ``OVERHANG`` pixels.
    """
    left, top, right, bottom = (float(value) for value in box)
    beyond = max(-left, -top, right - width, bottom - height)
    inside = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
    if beyond > OVERHANG or inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise ValueError(
            f'box {_numbers(box)} lies outside of its image of {width} x {height} '
            'px (corners are left, top, right, bottom)'
        )
    return inside[0], inside[1], float(inside[2]), float(inside[3])


def write_items(
    path: str | os.PathLike, items: Iterable[BoxItem], **about: Any
) -> None:
    """Writes items as JSON, with further entries such as the image folder."""
    content = [asdict(item) for item in items]
    write_json(path, dict(format=FORMAT, version=VERSION, **about, items=content))


def read_items(path: str | os.PathLike) -> tuple[list[BoxItem], dict[str, Any]]:
    """Items that :func:`write_items` wrote, and everything else in the file.

    Raises:
        FileNotFoundError, ValueError: There is no such file, or it is damaged.
    """
    content = read_json(path, FORMAT, VERSION)
    entries = content.pop('items', None)
    try:
        items = [BoxItem(**entry) for entry in entries]
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: damaged items ({str(error)[:200]})') from None
    return items, content


def _checked_box(box: Iterable[float]) -> Box:
    try:
        left, top, right, bottom = (float(value) for value in box)
    except (TypeError, ValueError):
        raise ValueError(f'box must be four numbers, got {shorten(box)}') from None
    box = left, top, right, bottom
    if not all(map(isfinite, box)):
        raise ValueError(f'box has a number that is not finite: {_numbers(box)}')
    if left >= right or top >= bottom:
        raise ValueError(
            f'box {_numbers(box)} is empty; corners must be left, top, right, bottom'
        )
    return box


def _checked_texts(texts: str | Iterable[str]) -> tuple[str, ...]:
    texts = (texts,) if isinstance(texts, str) else tuple(texts)
    if not texts:
        raise ValueError('there is no expression')
    for text in texts:
        if not visible_text(text):
            raise ValueError(f'expression is empty or not text: {shorten(text)}')
    # Descriptions in XML are often broken over lines.
    return tuple(' '.join(text.split()) for text in texts)


def _numbers(box: Iterable[float]) -> str:
    return '[' + ', '.join(f'{float(value):g}' for value in box) + ']'
