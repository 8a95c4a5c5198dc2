# SPDX-License-Identifier: Apache-2.0
"""The review page: one HTML file with everything in it, the worst masks first."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..datasets.formats import BoxItem
from ..utils.files import digest, write_text
from ..utils.outlines import trace_outlines
from .mask_store import ItemMask
from .quality import MaskMeasures
from .review_state import FORMAT, VERSION
from .rules import EMPTY, RULES, Suspicion

ASSETS = Path(__file__).parent / 'assets'
# The crop shows this much of the surroundings: context for the sentence.
CONTEXT = 1.8
LEAST_CROP = 64
JPEG_QUALITY = 80


@dataclass(frozen=True)
class ReviewItem:
    """An item as the page shows it.

    Attributes:
        item: The item.
        mask: Its mask.
        measures, suspicion: What is known of the mask.
        votes: Earlier decisions: ``annotator``, ``decision``, ``note``.
    """

    item: BoxItem
    mask: ItemMask
    measures: MaskMeasures
    suspicion: Suspicion
    votes: Sequence[Mapping[str, str]] = field(default_factory=tuple)


class PageBuilder:
    """Collects items with pictures of them, and writes the page.

    Args:
        title: Title of the page.
        crop_size: Longest side of an item's picture in pixels.
        thumb_size: Longest side of the picture of a whole image in pixels.
    """

    def __init__(self, title: str, crop_size: int = 384, thumb_size: int = 200) -> None:
        for name, size in (('crop_size', crop_size), ('thumb_size', thumb_size)):
            if size < 16:
                raise ValueError(f'{name} must be at least 16 pixels, got {size}')
        self.title = title
        self.crop_size = crop_size
        self.thumb_size = thumb_size
        self._entries: list[dict] = []
        self._images: dict[str, dict] = {}

    def add(self, image: np.ndarray, reviewed: ReviewItem) -> None:
        """Adds an item.

        Args:
            image: RGB uint8 (H, W, 3), the item's image.
            reviewed: The item.
        """
        item = reviewed.item
        if item.image not in self._images:
            height, width = image.shape[:2]
            self._images[item.image] = dict(
                width=width, height=height, src=_data_uri(image, self.thumb_size)
            )
        mask = reviewed.mask.to_array()
        left, top, width, height = _crop(item.box, mask)
        picture = image[top : top + height, left : left + width]
        self._entries.append(
            dict(
                id=item.item_id,
                image=item.image,
                category=item.category,
                expressions=item.expressions,
                box=item.box,
                mask=reviewed.mask.digest,
                corrected=reviewed.mask.corrected,
                score=round(reviewed.suspicion.score, 4),
                flags={k: round(v, 3) for k, v in reviewed.suspicion.flags.items()},
                measures=_rounded(reviewed.measures),
                votes=list(reviewed.votes),
                crop=dict(
                    view=[left, top, width, height],
                    src=_data_uri(picture, self.crop_size),
                ),
                path=_svg_path(mask, max(width, height) / self.crop_size),
            )
        )

    def write(self, path: Path, annotator: str = '', items_per_file: int = 1000):
        """Writes the page, the most suspicious items first.

        Args:
            path: HTML file.
            annotator: Name to begin with.
            items_per_file: With more items than this, several files are written
                and numbered: browsers choke on very long ones.

        Returns:
            list[Path]: The files.
        """
        if items_per_file < 1:
            raise ValueError(f'items_per_file must be positive, got {items_per_file}')
        path = Path(path)
        entries = sorted(
            self._entries, key=lambda entry: (-entry['score'], entry['id'])
        )
        parts = [
            entries[start : start + items_per_file]
            for start in range(0, len(entries), items_per_file)
        ] or [[]]
        paths = []
        for number, part in enumerate(parts, 1):
            title, target = self.title, path
            if len(parts) > 1:
                title = f'{title} ({number} of {len(parts)})'
                target = path.with_name(f'{path.stem}-{number}{path.suffix}')
            write_text(target, self._page(title, part, annotator))
            paths.append(target)
        return paths

    def _page(self, title, entries, annotator):
        shown = {entry['image'] for entry in entries}
        data = dict(
            format=FORMAT,
            version=VERSION,
            key=digest([self.title, [entry['id'] for entry in entries]]),
            title=title,
            annotator=annotator,
            flags={EMPTY: 'there is no mask'}
            | {name: rule.text for name, rule in RULES.items()},
            images={name: self._images[name] for name in sorted(shown)},
            items=entries,
        )
        parts = dict(
            title=html.escape(title),
            css=_asset('review.css'),
            js=_asset('review.js'),
            data=_script_safe(data),
        )
        page = _asset('review.html')
        # In one pass: what is filled in may look like a placeholder itself.
        pieces = page.split('%%')
        pieces[1::2] = [parts[name] for name in pieces[1::2]]
        return ''.join(pieces)


def _asset(name):
    return (ASSETS / name).read_text(encoding='utf-8')


def _script_safe(data):
    """JSON that can't end the script element it stands in."""
    text = json.dumps(data, separators=(',', ':'), ensure_ascii=False)
    return text.replace('<', '\\u003c')


def _rounded(measures):
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in asdict(measures).items()
    }


def _crop(box, mask):
    """Left, top, width and height of what to show around box and mask."""
    height, width = mask.shape
    left, top, right, bottom = box
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    if w and h:
        left, top = min(left, x), min(top, y)
        right, bottom = max(right, x + w), max(bottom, y + h)
    side = max(CONTEXT * max(right - left, bottom - top), LEAST_CROP)
    x, w = _span((left + right) / 2, side, width)
    y, h = _span((top + bottom) / 2, side, height)
    return x, y, w, h


def _span(center, length, limit):
    """Start and length of whole pixels around a centre, within the image."""
    length = min(round(length), limit)
    start = min(max(round(center - length / 2), 0), limit - length)
    return start, length


def _data_uri(image, longest):
    """JPEG of an image, made smaller if need be."""
    scale = longest / max(image.shape[:2])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    data = cv2.imencode('.jpg', image[..., ::-1], options)[1].tobytes()
    return 'data:image/jpeg;base64,' + base64.b64encode(data).decode('ascii')


def _svg_path(mask, pixel):
    """Outline of a mask in image coordinates, for the even-odd rule.

    Args:
        mask: Boolean (H, W).
        pixel: Size of a pixel of the picture in pixels of the image; finer
            detail can't be seen and is dropped.
    """
    parts = []
    for corners, _ in trace_outlines(mask):
        if pixel > 1:
            corners = cv2.approxPolyDP(corners.astype(np.int32), pixel / 2, True)[:, 0]
        parts.append('M' + 'L'.join(f'{x} {y}' for x, y in corners.tolist()) + 'Z')
    return ''.join(parts)
