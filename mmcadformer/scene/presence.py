# SPDX-License-Identifier: Apache-2.0
"""Whether the object that an expression names occurs in a tile at all.

Referring models learn from images in which the object is always there, so they
point at something in any tile. What they point at where nothing fits is usually less
probable, which one threshold per model can tell.

The threshold is chosen on validation data. Where these have no expressions that refer
to nothing, or few, counterexamples are made in two ways: an expression on an image in
which nothing of its category is annotated, and the image itself with everything of
that category taken out, as if there were no data.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..datasets.masks import load_mask
from ..evaluation.presence import (
    DEFINITION,
    HEAD_DEFINITION,
    choose_threshold,
    presence_score,
)
from ..imagery import read_picture
from ..utils.files import read_json
from .network import TileNetwork

# An erased box is larger than the object by this share of its side, and so many
# pixels: shadows and shores give an object away.
_MARGIN_SHARE, _MARGIN = 0.1, 2
# Images of which less is left are no use as counterexamples.
_LEAST_REST = 0.25


def read_presence(source: float | str | os.PathLike | None) -> tuple[float, dict]:
    """The threshold that a user names, and all that a calibration file says.

    The source is a number 0...1, a file of ``tools/analysis/calibrate_presence.py``,
    or None for no gate, which is a threshold of 0.

    Raises:
        FileNotFoundError: If it is neither a number nor an existing file.
        ValueError: If the file has another content, or the number is out of range.
    """
    if source is None:
        return 0.0, {}
    content: dict = {}
    try:
        value = float(str(source))
    except ValueError:
        content = _read_calibration(Path(str(source)))
        value = content['threshold']
    if not 0 <= value <= 1:
        raise ValueError(f'presence threshold {value} is out of range: 0...1')
    return value, content


def _read_calibration(file: Path) -> dict:
    if not file.is_file():
        raise FileNotFoundError(
            f'presence {str(file)!r} is neither a number nor an existing file; make '
            'one with tools/analysis/calibrate_presence.py'
        )
    try:
        content = read_json(file)
        content['threshold'] = float(content['threshold'])
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f'{file} has no threshold: it must be a file of '
            'tools/analysis/calibrate_presence.py'
        ) from None
    if content.get('score') not in (DEFINITION, HEAD_DEFINITION):
        raise ValueError(f'{file} was made for another presence score: calibrate again')
    return content


@dataclass
class Example:
    """A picture and sentences whose object is either in it or not."""

    # 'present'; or why the object isn't there: 'no target' (the data say so),
    # 'other image', 'erased'.
    kind: str
    image: str
    expressions: list[str]
    # Boxes (left, top, right, bottom) taken out of the picture.
    erased: list[tuple[int, int, int, int]] = field(default_factory=list)


def make_examples(
    records: Sequence[dict], max_images: int | None = None, seed: int = 0
) -> list[Example]:
    """Examples from the records of a data set in test mode, one per sentence.

    Those of one image come together. ``max_images`` are drawn at random, None uses
    all; the seed is that of the draw and of the images that sentences are tried on.

    Raises:
        FileNotFoundError: If a mask, or an image of unknown size, doesn't exist.
        ValueError: If there are no examples of either kind, a mask is damaged, or
            ``max_images`` is not a number of images.
    """
    if max_images is not None and max_images < 1:
        raise ValueError(f'max_images must be 1 or more, not {max_images}')
    rng = np.random.default_rng(seed)
    images: dict[str, list[dict]] = {}
    for record in records:
        images.setdefault(record['img_path'], []).append(record)
    if max_images is not None and len(images) > max_images:
        chosen = sorted(rng.choice(len(images), max_images, replace=False))
        names = sorted(images)
        images = {names[i]: images[names[i]] for i in chosen}
    present, absent = (
        {
            image: [r for r in here if (r['segmentation'] is None) == nothing]
            for image, here in images.items()
        }
        for nothing in (False, True)
    )
    if not any(present.values()):
        raise ValueError('no expression of these data refers to anything')
    elsewhere = _on_other_images(present, rng)
    examples = []
    for image in images:
        examples += [
            Example('present', image, _sentences(present[image])),
            Example('no target', image, _sentences(absent[image])),
            *_erased(image, present[image]),
            Example('other image', image, elsewhere[image]),
        ]
    examples = [example for example in examples if example.expressions]
    if all(example.kind == 'present' for example in examples):
        raise ValueError(
            'no image without the object can be made from these data: all objects '
            'are of one category and fill their images'
        )
    return examples


def score_examples(
    examples: Sequence[Example], network: TileNetwork
) -> Iterator[tuple[Example, list[float]]]:
    """Presence scores, one per sentence of each example."""
    for image, group in itertools.groupby(examples, key=lambda example: example.image):
        picture = read_picture(image).rgb
        for example in group:
            tile = picture.copy()
            valid = np.ones(tile.shape[:2], bool)
            for left, top, right, bottom in example.erased:
                tile[top:bottom, left:right] = network.fill
                valid[top:bottom, left:right] = False
            maps = network([tile], example.expressions)[0]
            yield example, tile_scores(network, maps[None], [valid])[0].tolist()


def tile_scores(
    network: TileNetwork, maps: np.ndarray, valid: Sequence[np.ndarray]
) -> np.ndarray:
    """Presence scores (tiles, expressions) of what a network has just answered.

    They are those of its presence head, if it has one, otherwise of its maps (tiles,
    expressions, H, W), where there are data.
    """
    heads = getattr(network, 'scores', None)
    if heads is not None:
        return heads
    return np.array(
        [
            [presence_score(map_, where) for map_ in answer]
            for answer, where in zip(maps, valid, strict=True)
        ]
    )


def summarise(
    scored: Sequence[tuple[Example, Sequence[float]]],
    max_false_alarms: float | None = None,
    score: str = DEFINITION,
    min_recall: float | None = None,
) -> dict:
    """A presence file from scored examples: the threshold and what it rests on.

    ``score`` says what the scores are; the shares are those of
    :func:`choose_threshold`.
    """
    kinds: dict[str, list[float]] = dict(present=[])
    for example, scores in scored:
        kinds.setdefault(example.kind, []).extend(scores)
    present, *others = kinds.values()
    found = choose_threshold(present, sum(others, []), max_false_alarms, min_recall)
    return dict(
        found._asdict(),
        score=score,
        examples={
            kind: dict(
                count=len(scores),
                passing=float(np.mean(np.array(scores) >= found.threshold)),
                quartiles=np.percentile(scores, [25, 50, 75]).round(6).tolist(),
            )
            for kind, scores in kinds.items()
        },
    )


def _sentences(records: Sequence[dict]) -> list[str]:
    return [record['expressions'][0] for record in records]


def _categories(records: Sequence[dict]) -> set[str]:
    return {record['category'] for record in records}


def _on_other_images(
    images: dict[str, list[dict]], rng: np.random.Generator
) -> dict[str, list[str]]:
    """Gives each sentence an image without its category, if there is one."""
    sentences: dict[str, list[str]] = {image: [] for image in images}
    without: dict[str, list[str]] = {}
    for record in itertools.chain(*images.values()):
        category = record['category']
        if category not in without:
            without[category] = [
                image
                for image, here in images.items()
                if category not in _categories(here)
            ]
        others = without[category]
        if others:
            image = others[rng.integers(len(others))]
            sentences[image].append(record['expressions'][0])
    return sentences


def _erased(image: str, records: Sequence[dict]) -> Iterator[Example]:
    """The image without its objects, for each category."""
    if not records:
        return
    height, width = records[0]['height'], records[0]['width']
    if height is None or width is None:
        height, width = read_picture(image).rgb.shape[:2]
    for category in sorted(_categories(records)):
        here = [record for record in records if record['category'] == category]
        masks = (load_mask(record['segmentation'], height, width) for record in here)
        boxes = list(
            dict.fromkeys(_box((mask == 1).astype(np.uint8)) for mask in masks)
        )
        rest = np.ones((height, width), bool)
        for left, top, right, bottom in boxes:
            rest[top:bottom, left:right] = False
        if rest.mean() >= _LEAST_REST:
            yield Example('erased', image, _sentences(here), boxes)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Box around an object with a margin, inside the image."""
    height, width = mask.shape
    left, top, wide, tall = cv2.boundingRect(mask)
    across, down = (round(_MARGIN + _MARGIN_SHARE * side) for side in (wide, tall))
    right, bottom = left + wide + across, top + tall + down
    return (
        max(left - across, 0),
        max(top - down, 0),
        min(right, width),
        min(bottom, height),
    )
