# SPDX-License-Identifier: Apache-2.0
"""The review page: one HTML file with everything in it, the worst masks first.

People look at the masks there (paper Sec. III-A, step 2).
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from ..datasets.formats import BoxItem
from ..imagery import read_picture
from ..utils.files import digest, write_text
from ..utils.outlines import trace_outlines
from ..utils.progress import progress_bar
from ..utils.text import check_choice
from .quality import EMPTY, RULES, MaskMeasures, Rule, Suspicion
from .reviews import FORMAT, VERSION, Outcome
from .workspace import ItemMask, Workspace, by_image, by_sentence

SHOW = ('all', 'undecided', 'disputed', 'fix', 'corrected')
ASSETS = Path(__file__).parent / 'assets'
# The crop shows this much of the surroundings: context for the sentence.
CONTEXT = 1.8
LEAST_CROP = 64
THUMB_SIZE = 200
JPEG_QUALITY = 80


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
    """Writes the review page; returns the files.

    Args:
        outcome: Masks, and the decisions to show.
        show: Which items: 'all', or only those that are 'undecided',
            'disputed', to 'fix' or 'corrected'.
        min_suspicion: Leave out items that are less suspicious than this.
        annotator: Name to begin with.
        title: Of the page; the folder's name by default.
        crop_size: Longest side of the pictures in pixels.
        items_per_file: With more items than this, several files are written and
            numbered: browsers choke on very long ones.

    Raises:
        ValueError: An argument is unknown or out of range, or no item is left.
    """
    check_choice('show', show, SHOW)
    if crop_size < 16:
        raise ValueError(f'crop_size must be at least 16 pixels, got {crop_size}')
    if items_per_file < 1:
        raise ValueError(f'items_per_file must be positive, got {items_per_file}')
    rated = workspace.rate(outcome.masks, rules)
    shown = set(outcome.items(show, list(rated)))
    chosen = [
        item
        for item in workspace.items
        if item.item_id in shown and rated[item.item_id][1].score >= min_suspicion
    ]
    if not chosen:
        raise ValueError(
            f'no item to review: none is {show!r} with a suspicion of at least '
            f'{min_suspicion}'
        )
    entries: list[dict] = []
    images: dict[str, dict] = {}
    groups, sentences = by_image(chosen), by_sentence(workspace.items)
    for image, group in progress_bar(groups.items(), len(groups), show=progress):
        pixels = np.ascontiguousarray(read_picture(workspace.images / image).rgb)
        height, width = pixels.shape[:2]
        images[image] = dict(
            width=width, height=height, src=_data_uri(pixels, THUMB_SIZE)
        )
        for item in group:
            mask, votes = outcome.masks[item.item_id], outcome.votes(item.item_id)
            entry = _entry(item, mask, *rated[item.item_id], pixels, crop_size)
            meant = [other.box for other in sentences[item.sentence]]
            votes = votes if show != 'all' else []
            entries.append(dict(entry, meant=meant, votes=votes))
    entries.sort(key=lambda entry: (-entry['score'], entry['id']))
    title = title or f'Masks of {workspace.folder.resolve().name}'
    return _write_pages(Path(path), title, annotator, entries, images, items_per_file)


def _entry(
    item: BoxItem,
    mask: ItemMask,
    measures: MaskMeasures,
    suspicion: Suspicion,
    image: np.ndarray,
    crop_size: int,
) -> dict:
    """An item as the page's script reads it."""
    pixels = mask.to_array()
    left, top, width, height = _crop(item.box, pixels)
    picture = image[top : top + height, left : left + width]
    return dict(
        id=item.item_id,
        image=item.image,
        category=item.category,
        expressions=item.expressions,
        box=item.box,
        mask=mask.digest,
        corrected=mask.corrected,
        score=round(suspicion.score, 4),
        flags={name: round(value, 3) for name, value in suspicion.flags.items()},
        measures={
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(measures).items()
        },
        crop=dict(view=[left, top, width, height], src=_data_uri(picture, crop_size)),
        path=_svg_path(pixels, max(width, height) / crop_size),
    )


def _write_pages(
    path: Path,
    title: str,
    annotator: str,
    entries: Sequence[dict],
    images: Mapping[str, dict],
    items_per_file: int,
) -> list[Path]:
    starts = range(0, len(entries), items_per_file)
    paths = []
    for number, start in enumerate(starts, 1):
        target, page_title = path, title
        if len(starts) > 1:
            page_title = f'{title} ({number} of {len(starts)})'
            target = path.with_name(f'{path.stem}-{number}{path.suffix}')
        part = entries[start : start + items_per_file]
        shown = sorted({entry['image'] for entry in part})
        data = dict(
            format=FORMAT,
            version=VERSION,
            key=digest([title, [entry['id'] for entry in part]]),
            title=page_title,
            annotator=annotator,
            flags={EMPTY: 'there is no mask'}
            | {name: rule.text for name, rule in RULES.items()},
            images={name: images[name] for name in shown},
            items=part,
        )
        write_text(target, _page(page_title, data))
        paths.append(target)
    return paths


def _page(title: str, data: dict) -> str:
    text = json.dumps(data, separators=(',', ':'), ensure_ascii=False)
    parts = dict(
        title=html.escape(title),
        css=_asset('review.css'),
        js=_asset('review.js'),
        # Must not end the script element that it stands in.
        data=text.replace('<', '\\u003c'),
    )
    # In one pass: what is filled in may look like a placeholder itself.
    pieces = _asset('review.html').split('%%')
    pieces[1::2] = [parts[name] for name in pieces[1::2]]
    return ''.join(pieces)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding='utf-8')


def _crop(box: Sequence[float] | None, mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, width and height of what to show around box and mask.

    Without a box, all of it.
    """
    height, width = mask.shape
    if box is None:
        return 0, 0, width, height
    left, top, right, bottom = box
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    if w and h:
        left, top = min(left, x), min(top, y)
        right, bottom = max(right, x + w), max(bottom, y + h)
    side = max(CONTEXT * max(right - left, bottom - top), LEAST_CROP)
    x, w = _span((left + right) / 2, side, width)
    y, h = _span((top + bottom) / 2, side, height)
    return x, y, w, h


def _span(center: float, length: float, limit: int) -> tuple[int, int]:
    """Start and length of whole pixels around a centre, within the image."""
    pixels = min(round(length), limit)
    return min(max(round(center - pixels / 2), 0), limit - pixels), pixels


def _data_uri(image: np.ndarray, longest: int) -> str:
    """JPEG of an image, made smaller if need be."""
    scale = longest / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    data = cv2.imencode('.jpg', image[..., ::-1], options)[1].tobytes()
    return 'data:image/jpeg;base64,' + base64.b64encode(data).decode('ascii')


def _svg_path(mask: np.ndarray, pixel: float) -> str:
    """Outline of a mask in image coordinates, for the even-odd rule.

    Detail finer than a pixel of the picture, given in pixels of the image, is dropped.
    """
    parts = []
    for corners, _ in trace_outlines(mask):
        if pixel > 1:
            corners = cv2.approxPolyDP(corners.astype(np.int32), pixel / 2, True)[:, 0]
        parts.append('M' + 'L'.join(f'{x} {y}' for x, y in corners.tolist()) + 'Z')
    return ''.join(parts)
