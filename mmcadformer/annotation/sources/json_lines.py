# SPDX-License-Identifier: Apache-2.0
"""Boxes from a file with one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path

from ..bad_entries import BadEntries
from ..boxes import BoxItem

_KEYS = frozenset(
    ('id', 'image', 'box', 'bbox', 'expression', 'expressions', 'category', 'split')
)


def load_json_lines_boxes(path: Path, bad: BadEntries | None = None) -> list[BoxItem]:
    """Reads one item per line.

    .. code-block:: json

        {"image": "a.png", "box": [4, 9, 40, 60], "expression": "the left tank",
         "category": "storage tank"}

    ``box`` is left, top, right, bottom in pixels; ``bbox`` in its place is
    COCO's left, top, width, height. ``expressions`` may hold a list instead of
    one ``expression``. ``id`` (default: ``line-<number>``) and ``split`` may be
    left out.

    Args:
        path: The file.
        bad: Gets the lines that can't be used.

    Returns:
        The items, in the order of the lines.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is bad, and ``bad`` doesn't leave it out.
    """
    bad = bad or BadEntries()
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist') from None
    items = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            with bad.around(f'{path}, line {number}'):
                items.append(_item(line, number))
    return items


def _item(line, number):
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f'not valid JSON ({error})') from None
    if not isinstance(entry, dict):
        raise ValueError(f'expected an object, got {type(entry).__name__}')
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ValueError(f'unknown keys {unknown}; known are {sorted(_KEYS)}')
    return BoxItem(
        item_id=str(entry.get('id', f'line-{number:06d}')),
        image=entry.get('image'),
        box=_box(entry),
        category=entry.get('category'),
        expressions=_texts(entry),
        split=entry.get('split'),
    )


def _box(entry):
    if ('box' in entry) == ('bbox' in entry):
        raise ValueError("exactly one of 'box' and 'bbox' is needed")
    if 'box' in entry:
        return entry['box']
    try:
        left, top, width, height = entry['bbox']
        return left, top, left + width, top + height
    except (TypeError, ValueError):
        raise ValueError(
            f"'bbox' must be left, top, width, height, got {entry['bbox']!r}"
        ) from None


def _texts(entry):
    if ('expression' in entry) == ('expressions' in entry):
        raise ValueError("exactly one of 'expression' and 'expressions' is needed")
    texts = entry.get('expressions', [entry.get('expression')])
    if not isinstance(texts, list):
        raise ValueError(f"'expressions' must be a list, got {texts!r}")
    return tuple(texts)
