# SPDX-License-Identifier: Apache-2.0
"""Scores and intervals against loops, enumeration and SciPy."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy import stats

from mmcadformer.comparison import bootstrap, load_methods, paired_bootstrap, score
from mmcadformer.evaluation import ReferringIoUMetric


def test_scores_are_those_of_the_metric(write_lines, tmp_path):
    torch.manual_seed(0)
    samples = [
        dict(
            pred_sem_seg=dict(data=(torch.rand(1, 8, 8) < share).long()),
            gt_sem_seg=dict(data=(torch.rand(1, 8, 8) < 0.8).long()),
            sent_id=i,
        )
        for i, share in enumerate(torch.linspace(0.3, 1, 12))
    ]
    path = str(tmp_path / 'lines.jsonl')
    metric = ReferringIoUMetric(output_file=path)
    metric.process(None, samples)
    expected = metric.evaluate(len(samples))
    (method,) = load_methods({'a': [path]})
    found = score(method)
    assert 0 < expected['Pr@0.5'] < 100
    assert {name: spread.mean for name, spread in found.items()} == pytest.approx(
        expected
    )
    assert all(spread.std is None for spread in found.values())


def test_mean_and_deviation_over_seeds(load):
    (method,) = load(20, a=[0.7, 0.5, 0.6])
    each = [
        100 * sum(x['intersection'] / x['union'] for x in lines) / 20
        for lines in method.lines
    ]
    spread = score(method)['mIoU']
    mean = sum(each) / 3
    variance = sum((x - mean) ** 2 for x in each) / 2
    assert spread.mean == pytest.approx(mean)
    assert spread.std == pytest.approx(variance**0.5) and spread.std > 1


def scores_of(method, chosen):
    """mIoU and oIoU of some expressions, averaged over seeds, by loops."""
    totals = np.zeros(2)
    for lines in method.lines:
        part = [lines[i] for i in chosen]
        totals += [
            sum(x['intersection'] / x['union'] for x in part) / len(part),
            sum(x['intersection'] for x in part) / sum(x['union'] for x in part),
        ]
    return 100 * totals / len(method.lines)


def test_interval_against_all_possible_draws(load):
    a, b = load(5, a=[0.8, 0.6], b=[0.4])
    draws = [
        scores_of(a, chosen) - scores_of(b, chosen)
        for chosen in product(range(5), repeat=5)
    ]
    intervals = paired_bootstrap(a, b, resamples=40_000, level=0.8)
    whole = scores_of(a, range(5)) - scores_of(b, range(5))
    for i, name in enumerate(('mIoU', 'oIoU')):
        interval = intervals[name]
        assert interval.difference == pytest.approx(whole[i])
        values = np.array([draw[i] for draw in draws])
        # There are few values, so that a share can only be enclosed.
        for end, share in ((interval.low, 0.1), (interval.high, 0.9)):
            below, upto = (values < end - 1e-9).mean(), (values < end + 1e-9).mean()
            assert below - 0.01 <= share <= upto + 0.01


def test_interval_against_scipy(load):
    a, b = load(60, a=[0.7], b=[0.5])

    def difference(ia, ua, ib, ub, axis=-1):
        return 100 * (ia.sum(axis) / ua.sum(axis) - ib.sum(axis) / ub.sum(axis))

    data = (a.intersection[0], a.union[0], b.intersection[0], b.union[0])
    options = dict(method='percentile', n_resamples=9999, random_state=7)
    overall = stats.bootstrap(data, difference, paired=True, **options)
    mean = stats.bootstrap((100 * (a.iou[0] - b.iou[0]),), np.mean, **options)
    intervals = paired_bootstrap(a, b, seed=3)
    for name, expected in (('mIoU', mean), ('oIoU', overall)):
        found, tolerance = intervals[name], expected.standard_error / 10
        ends = expected.confidence_interval
        assert found.low == pytest.approx(ends.low, abs=tolerance)
        assert found.high == pytest.approx(ends.high, abs=tolerance)
        assert found.excludes_zero and found.level == 0.95


def test_whole_images_are_drawn_if_asked(load):
    a, b = load(48, a=[0.7], b=[0.6])
    images = [line['image_id'] for line in a.expressions]
    difference = 100 * (a.iou[0] - b.iou[0])
    # All images have three expressions: drawing images is drawing their means.
    means = (difference.reshape(-1, 3).mean(axis=1),)
    expected = stats.bootstrap(means, np.mean, method='percentile', random_state=1)
    found = paired_bootstrap(a, b, images)['mIoU']
    tolerance = expected.standard_error / 8
    ends = expected.confidence_interval
    assert [found.low, found.high] == pytest.approx([*ends], abs=tolerance)


def test_scores_of_one_method_against_scipy(load):
    (a,) = load(48, a=[0.7])
    images = [line['image_id'] for line in a.expressions]
    hit, union, iou = (
        x[0].reshape(-1, 3) for x in (a.intersection, a.union, a.iou)
    )  # all images have three expressions
    options = dict(method='percentile', n_resamples=9999, random_state=7)
    found = bootstrap(a, images, seed=3)
    expected = {
        'mIoU': stats.bootstrap((100 * iou.mean(axis=1),), np.mean, **options),
        'oIoU': stats.bootstrap(
            (hit.sum(axis=1), union.sum(axis=1)),
            lambda i, u, axis=-1: 100 * i.sum(axis) / u.sum(axis),
            paired=True,
            **options,
        ),
        'Pr@0.7': stats.bootstrap(
            (100 * (iou > 0.7).mean(axis=1),), np.mean, **options
        ),
    }
    for name, other in expected.items():
        ends, tolerance = other.confidence_interval, other.standard_error / 6
        assert found[name].value == pytest.approx(score(a)[name].mean)
        assert found[name].low == pytest.approx(ends.low, abs=tolerance)
        assert found[name].high == pytest.approx(ends.high, abs=tolerance)
    assert list(found) == list(score(a))
    assert f'{found["mIoU"]:.1f}'.count('[') == 1


def test_pairing_removes_what_both_methods_share(load):
    a, b = load(40, a=[0.7], b=[0.7])
    same = paired_bootstrap(a, a)['mIoU']
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert not same.excludes_zero
    one, two = paired_bootstrap(a, b)['oIoU'], paired_bootstrap(b, a)['oIoU']
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    assert paired_bootstrap(a, b)['oIoU'] == one
    assert paired_bootstrap(a, b, seed=1)['oIoU'] != one


def test_wrong_arguments_are_named(load):
    a, b = load(6, a=[0.7], b=[0.7])
    with pytest.raises(ValueError, match='level must be between 0 and 1.*not 95'):
        paired_bootstrap(a, b, level=95)
    with pytest.raises(ValueError, match='5 groups were given for 6 expressions'):
        paired_bootstrap(a, b, groups=[1] * 5)
    (short,) = load(4, a=[0.7])
    with pytest.raises(ValueError, match='have 4 and 6 expressions'):
        paired_bootstrap(short, b)
