# SPDX-License-Identifier: Apache-2.0
"""Measures against brute force, and what the suspicion is worth."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from mmcadformer.annotation.quality import (
    RULES,
    MaskMeasures,
    measure_mask,
    rate,
    read_rules,
)


def random_cases(number):
    rng = np.random.default_rng(0)
    for _ in range(number):
        height, width = rng.integers(1, 22, 2)
        noise = ndimage.gaussian_filter(rng.random((height, width)), rng.choice([0, 1]))
        mask = noise > np.quantile(noise, rng.random())
        left, right = np.sort(rng.random(2)) * width
        top, bottom = np.sort(rng.random(2)) * height
        box = np.array([left, top, right, bottom])
        if rng.random() < 0.5:
            box = np.round(box)
        if rng.random() < 0.2:
            box[:2] = 0
        if box[0] < box[2] and box[1] < box[3]:
            yield mask, box.tolist()


def brute_force(mask, box):
    """The measures pixel by pixel, parts and holes by SciPy."""
    left, top, right, bottom = box
    height, width = mask.shape

    def inside(y, x):
        return left <= x + 0.5 <= right and top <= y + 0.5 <= bottom

    def is_edge(y, x):
        around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        return inside(y, x) and any(
            0 <= v < height and 0 <= u < width and not inside(v, u) for v, u in around
        )

    pixels = [(y, x) for y in range(height) for x in range(width)]
    target = [pixel for pixel in pixels if mask[pixel]]
    edge = [pixel for pixel in pixels if is_edge(*pixel)]
    labels, parts = ndimage.label(mask, np.ones((3, 3)))
    largest = max(np.bincount(labels.ravel())[1:], default=0)
    filled = ndimage.binary_fill_holes(mask)
    hole_labels, holes = ndimage.label(filled & ~mask)
    hole_sizes = np.bincount(hole_labels.ravel())[1:]
    if target:
        ys, xs = zip(*target, strict=True)
        own = min(xs), min(ys), max(xs) + 1, max(ys) + 1
    else:
        own = 0, 0, 0, 0
    shared = max(0, min(right, own[2]) - max(left, own[0])) * max(
        0, min(bottom, own[3]) - max(top, own[1])
    )
    both = (right - left) * (bottom - top) + (own[2] - own[0]) * (own[3] - own[1])
    return dict(
        area=len(target),
        predicted_iou=None,
        box_iou=shared / (both - shared),
        outside_share=sum(not inside(*p) for p in target) / max(1, len(target)),
        area_ratio=len(target) / ((right - left) * (bottom - top)),
        edge_contact=sum(mask[p] for p in edge) / max(1, len(edge)),
        components=parts,
        stray_share=1 - largest / len(target) if target else 0,
        holes=holes,
        tiny_holes=sum(size <= 0.01 * filled.sum() for size in hole_sizes),
    )


def test_measures_agree_with_brute_force():
    seen = {key: set() for key in MaskMeasures.__dataclass_fields__}
    for mask, box in random_cases(500):
        measures = vars(measure_mask(mask, box))
        assert measures == pytest.approx(brute_force(mask, box), abs=1e-9)
        for key, value in measures.items():
            seen[key].add(value)
    # The cases are worth something: empty masks, holes and parts occur.
    assert 0 in seen['area']
    assert {0, 1, 2} <= seen['holes'] and {1, 2, 3} <= seen['components']


def test_tiny_holes_are_told_from_large_ones():
    mask = np.zeros((60, 60), bool)
    mask[5:45, 5:45] = True  # 1600 pixels with the holes filled: tiny is up to 16
    mask[10:14, 10:14] = False
    mask[20:24, 10:14] = mask[24, 10] = False
    mask[30, 30] = mask[31, 31] = False  # two: they share a corner only
    measures = measure_mask(mask, (5, 5, 45, 45))
    assert (measures.holes, measures.tiny_holes) == (4, 3)


def test_sides_on_the_edge_of_the_image_make_no_contact():
    mask = np.zeros((20, 20), bool)
    mask[:10, :10] = True
    assert measure_mask(mask, (0, 0, 20, 20)).edge_contact == 0
    # Of the box's right and bottom row (10 + 10 - 1), all belong to the mask.
    assert measure_mask(mask, (0, 0, 10, 10)).edge_contact == 1
    assert measure_mask(mask, (0, 0, 12, 10)).edge_contact == pytest.approx(10 / 21)


GOOD = MaskMeasures(
    area=500,
    predicted_iou=0.95,
    box_iou=0.95,
    outside_share=0.0,
    area_ratio=0.7,
    edge_contact=0.3,
    components=1,
    stray_share=0.0,
    holes=0,
    tiny_holes=0,
)


def test_score_joins_the_severities():
    assert rate(GOOD).score == 0 and rate(GOOD).flags == {}
    # Half way between fine (0.8) and bad (0.4), and half between 0.02 and 0.3.
    both = rate(replace(GOOD, box_iou=0.6, outside_share=0.16))
    assert both.flags == pytest.approx(dict(off_box=0.5, outside=0.5))
    assert both.score == pytest.approx(1 - (1 - 0.8 / 2) * (1 - 0.8 / 2))
    assert rate(replace(GOOD, area=0)).score == 1


def test_every_flag_can_be_raised_alone_and_raises_the_score():
    for name, rule in RULES.items():
        for share in (0.1, 0.5, 1.0, 2.0):
            value = rule.fine + share * (rule.bad - rule.fine)
            result = rate(replace(GOOD, **{rule.measure: value}))
            assert list(result.flags) == [name]
            assert result.score == pytest.approx(rule.weight * min(share, 1))


def test_masks_that_people_drew_have_no_predicted_iou():
    assert rate(replace(GOOD, predicted_iou=None)).score == 0


def damaged_masks(workspace, rng):
    """True masks and damaged ones, with the IoU to the truth."""
    for item in workspace.items:
        truth = workspace.masks[item.item_id].to_array()
        left, top, right, bottom = (round(value) for value in item.box)
        half = truth.copy()
        half[:, (left + right) // 2 :] = False
        leaked = truth.copy()
        leaked[top:bottom, left:right] = True
        leaked = ndimage.binary_dilation(leaked, iterations=3)
        shifted = np.roll(truth, (bottom - top) // 3, axis=0)
        noisy = truth & (rng.random(truth.shape) > 0.35)
        smooth = ndimage.binary_opening(truth)
        for mask in (truth, smooth, half, leaked, shifted, noisy):
            union = np.count_nonzero(mask | truth)
            yield item, mask, np.count_nonzero(mask & truth) / union


def test_suspicion_ranks_damaged_masks_above_good_ones(workspace):
    good, poor = [], []
    for item, mask, iou in damaged_masks(workspace, np.random.default_rng(0)):
        score = rate(measure_mask(mask, item.box)).score
        (good if iou > 0.9 else poor).append(score)
    assert len(good) > 15 and len(poor) > 40
    # Probability that a poor mask is looked at before a good one.
    pairs = [(p > g) + (p == g) / 2 for p in poor for g in good]
    assert np.mean(pairs) > 0.9


def test_rules_from_a_file(tmp_path):
    path = tmp_path / 'rules.json'
    path.write_text(json.dumps(dict(thin=None, off_box=dict(fine=0.7, weight=0.5))))
    rules = read_rules(path)
    assert 'thin' not in rules
    assert (rules['off_box'].fine, rules['off_box'].bad) == (0.7, 0.4)
    assert rules['outside'] == RULES['outside']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(blurry=None), "unknown flag 'blurry'"),
        (dict(thin=dict(weight=2)), 'thin: weight must be in 0...1'),
        (dict(thin=dict(fine=0.05)), 'thin: fine and bad must differ'),
        (dict(thin=dict(measure='colour')), "unknown measure 'colour'"),
        ([], 'expected an object'),
    ],
)
def test_bad_rules_name_the_flag(tmp_path, content, message):
    path = tmp_path / 'rules.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_rules(path)
