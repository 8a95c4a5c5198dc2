# SPDX-License-Identifier: Apache-2.0
"""Chooses the presence threshold on validation data.

A referring data set has only images in which the object occurs. Two kinds of
counterexamples are made from it: an expression on an image in which nothing of its
category is annotated, and the image itself with everything of that category taken
out, as if there were no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import mmcv
import numpy as np

from ..datasets.masks import decode_segmentation
from .network import TileNetwork
from .presence import DEFINITION, presence_score

# An erased box is larger than the object by this share of its side, and so many
# pixels: shadows and shores give an object away.
_MARGIN_SHARE, _MARGIN = 0.1, 2
# Images of which less is left are no use as counterexamples.
_LEAST_REST = 0.25


@dataclass
class Example:
    """A picture and sentences whose object is either in it or not.

    Attributes:
        kind: 'present', or how it was made: 'other image', 'erased'.
        image: File of the picture.
        expressions: The sentences.
        erased: Boxes (left, top, right, bottom) taken out of the picture.
    """

    kind: str
    image: str
    expressions: list[str]
    erased: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Calibration:
    """A threshold and how well it does.

    Attributes:
        threshold: Tiles with a lower score count as empty.
        recall: Share of the examples with the object that stay.
        false_alarms: Share of those without it that stay, too.
        auroc: Probability that an example with the object has a higher score than
            one without.
    """

    threshold: float
    recall: float
    false_alarms: float
    auroc: float


def make_examples(
    records: Sequence[dict], max_images: int | None = None, seed: int = 0
) -> list[Example]:
    """Examples from the records of a data set in test mode.

    Args:
        records: With ``img_path``, ``category``, ``expressions``, ``segmentation``,
            ``height`` and ``width``; one per sentence.
        max_images: Use so many images, drawn at random; None uses all.
        seed: Of the draw, and of the images that sentences are tried on.

    Returns:
        Examples, those of one image together.

    Raises:
        ValueError: If no counterexample can be made, or ``max_images`` is no number
            of images.
    """
    if max_images is not None and max_images < 1:
        raise ValueError(f'max_images must be 1 or more, not {max_images}')
    rng = np.random.default_rng(seed)
    images = _by_image(records)
    if max_images is not None and len(images) > max_images:
        chosen = sorted(rng.choice(len(images), max_images, replace=False))
        names = sorted(images)
        images = {names[i]: images[names[i]] for i in chosen}
    elsewhere = _on_other_images(images, rng)
    examples = []
    for image, here in images.items():
        sentences = [record['expressions'][0] for record in here]
        examples.append(Example('present', image, sentences))
        examples += _erased(image, here)
        if elsewhere.get(image):
            examples.append(Example('other image', image, elsewhere[image]))
    if all(example.kind == 'present' for example in examples):
        raise ValueError(
            'no image without the object can be made from these data: all objects '
            'are of one category and fill their images'
        )
    return examples


def score_examples(
    examples: Sequence[Example], network: TileNetwork
) -> Iterator[tuple[Example, list[float]]]:
    """Presence scores, one per sentence of each example.

    Raises:
        FileNotFoundError: If an image doesn't exist.
    """
    for image, group in groupby(examples, key=lambda example: example.image):
        picture = mmcv.imread(image, channel_order='rgb')
        for example in group:
            tile = picture.copy()
            valid = np.ones(tile.shape[:2], bool)
            for left, top, right, bottom in example.erased:
                tile[top:bottom, left:right] = network.fill
                valid[top:bottom, left:right] = False
            maps = network([tile], example.expressions)[0]
            yield example, [presence_score(map_, valid) for map_ in maps]


def choose_threshold(
    present: Sequence[float],
    absent: Sequence[float],
    max_false_alarms: float | None = None,
) -> Calibration:
    """The threshold that tells scores with and without the object apart.

    Args:
        present: Scores where the object is.
        absent: Scores where it isn't.
        max_false_alarms: Take the lowest threshold that lets at most this share of
            the empty examples pass. By default the one with the best mean of
            recall and rejection.

    Raises:
        ValueError: If there are no scores, or the share is out of range.
    """
    present, absent = np.sort(present), np.sort(absent)
    if not len(present) or not len(absent):
        raise ValueError('scores of both kinds are needed to choose a threshold')
    scores = np.unique(np.concatenate([present, absent]))
    # Between neighbouring scores, so that neither lies on the threshold.
    candidates = np.concatenate([[0.0], (scores[:-1] + scores[1:]) / 2, [1.0]])
    recall = _passing(present, candidates)
    alarms = _passing(absent, candidates)
    if max_false_alarms is None:
        merit = recall - alarms
        best = np.flatnonzero(merit == merit.max())
        index = best[len(best) // 2]
    else:
        index = _first_below(alarms, max_false_alarms)
    return Calibration(
        float(candidates[index]),
        float(recall[index]),
        float(alarms[index]),
        _auroc(present, absent),
    )


def summarise(
    scored: Sequence[tuple[Example, Sequence[float]]],
    max_false_alarms: float | None = None,
) -> dict:
    """The content of a presence file, from scored examples.

    Returns:
        ``threshold``, ``score`` (its definition), and what it rests on.
    """
    by_kind: dict[str, list[float]] = {}
    for example, scores in scored:
        by_kind.setdefault(example.kind, []).extend(scores)
    present = by_kind.pop('present')
    absent = [score for scores in by_kind.values() for score in scores]
    found = choose_threshold(present, absent, max_false_alarms)
    kinds = dict(present=present, **by_kind)
    return dict(
        threshold=found.threshold,
        score=DEFINITION,
        recall=found.recall,
        false_alarms=found.false_alarms,
        auroc=found.auroc,
        examples={
            kind: dict(
                count=len(scores),
                passing=float(np.mean(np.array(scores) >= found.threshold)),
                quartiles=np.percentile(scores, [25, 50, 75]).round(6).tolist(),
            )
            for kind, scores in kinds.items()
        },
    )


def _passing(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of the sorted scores at or above each threshold."""
    return (len(scores) - np.searchsorted(scores, thresholds)) / len(scores)


def check_max_false_alarms(share: float | None) -> None:
    """Refuses what is no share.

    Raises:
        ValueError: If it is out of range.
    """
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f'max_false_alarms {share} is out of range: 0...1')


def _first_below(alarms: np.ndarray, most: float) -> int:
    check_max_false_alarms(most)
    if alarms[-1] > most:
        raise ValueError(
            f'max_false_alarms {most} cannot be kept: {alarms[-1]:.1%} of the empty '
            'examples have the highest score there is'
        )
    return int(np.flatnonzero(alarms <= most)[0])


def _by_image(records: Sequence[dict]) -> dict[str, list[dict]]:
    images: dict[str, list[dict]] = {}
    for record in records:
        images.setdefault(record['img_path'], []).append(record)
    return images


def _categories(records: Sequence[dict]) -> set[str]:
    return {record['category'] for record in records}


def _on_other_images(
    images: dict[str, list[dict]], rng: np.random.Generator
) -> dict[str, list[str]]:
    """Gives each sentence an image without its category, if there is one."""
    without: dict[str, list[str]] = {
        category: [
            image for image, here in images.items() if category not in _categories(here)
        ]
        for category in sorted(set().union(*map(_categories, images.values())))
    }
    sentences: dict[str, list[str]] = {}
    for here in images.values():
        for record in here:
            others = without[record['category']]
            if others:
                image = others[rng.integers(len(others))]
                sentences.setdefault(image, []).append(record['expressions'][0])
    return sentences


def _erased(image: str, records: Sequence[dict]) -> Iterator[Example]:
    """The image without its objects, for each category."""
    for category in sorted(_categories(records)):
        here = [record for record in records if record['category'] == category]
        boxes = list(dict.fromkeys(_box(record) for record in here))
        rest = np.ones((here[0]['height'], here[0]['width']), bool)
        for left, top, right, bottom in boxes:
            rest[top:bottom, left:right] = False
        if rest.mean() >= _LEAST_REST:
            sentences = [record['expressions'][0] for record in here]
            yield Example('erased', image, sentences, boxes)


def _box(record: dict) -> tuple[int, int, int, int]:
    """Box around an object with a margin, inside the image."""
    height, width = record['height'], record['width']
    mask = decode_segmentation(record['segmentation'], height, width)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    down, across = (round(_MARGIN + _MARGIN_SHARE * side) for side in (tall, wide))
    return (
        max(int(columns[0]) - across, 0),
        max(int(rows[0]) - down, 0),
        min(int(columns[-1]) + 1 + across, width),
        min(int(rows[-1]) + 1 + down, height),
    )


def _auroc(present: np.ndarray, absent: np.ndarray) -> float:
    """Share of pairs in the right order; ties count half. Both are sorted."""
    below = np.searchsorted(absent, present, side='left')
    not_above = np.searchsorted(absent, present, side='right')
    return float((below + not_above).mean() / (2 * len(absent)))
