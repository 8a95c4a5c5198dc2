# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from mmseg.registry import TRANSFORMS


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def build(**kwargs):
    return TRANSFORMS.build(dict(type='RandomReferringCrop', **kwargs))


def record(rows=(20, 30), columns=(50, 70), expression='the leftmost pond'):
    """An image of 60 x 100 px that tells each pixel's place, and a mask."""
    y, x = np.mgrid[:60, :100].astype(np.uint8)
    mask = np.zeros((60, 100), np.uint8)
    mask[slice(*rows), slice(*columns)] = 1
    mask[:2, 0] = 255
    return dict(
        img=np.stack([y, x, x], axis=2),
        img_shape=(60, 100),
        gt_seg_map=mask,
        seg_fields=['gt_seg_map'],
        expression=expression,
    )


def window(results):
    """First and last+1 row and column that the image is cut from."""
    y, x = results['img'][..., 0], results['img'][..., 1]
    return y.min(), y.max() + 1, x.min(), x.max() + 1


def test_windows_show_the_object_and_stay_inside():
    transform = build(prob=1.0, scale=(0.3, 0.6), margin=3)
    sizes, starts = set(), set()
    for _ in range(300):
        before = record()
        results = transform(record())
        top, bottom, left, right = window(results)
        np.testing.assert_array_equal(
            results['img'], before['img'][top:bottom, left:right]
        )
        np.testing.assert_array_equal(
            results['gt_seg_map'], before['gt_seg_map'][top:bottom, left:right]
        )
        assert (results['gt_seg_map'] == 1).sum() == 200
        assert top <= 17 and bottom >= 33 and left <= 47 and right >= 73
        assert results['img_shape'] == (bottom - top, right - left)
        assert results['img'].flags.c_contiguous
        assert results['expression'] == 'the leftmost pond'
        sizes.add((bottom - top, right - left))
        starts.add((top, left))
    heights, widths = (np.array(list(sizes)).T).tolist()
    assert (min(heights), max(heights)) == (18, 36)
    assert (min(widths), max(widths)) == (30, 60)
    tops, lefts = (np.array(list(starts)).T).tolist()
    # from the object at the window's end to the object at its beginning
    assert min(tops) <= 1 and max(tops) == 17
    assert min(lefts) <= 16 and max(lefts) == 47


def test_objects_at_the_border_and_larger_than_the_window():
    transform = build(prob=1.0, scale=(0.2, 0.2), margin=4)
    top, bottom, left, right = window(transform(record((0, 5), (97, 100))))
    assert (top, left, right) == (0, 80, 100) and bottom == 12
    whole = transform(record((0, 60), (10, 90)))
    assert window(whole) == (0, 60, 6, 94)


def test_samples_stay_as_they_are():
    may_be_false = record(expression='the smallest pond')
    for _ in range(20):
        crop = build(prob=1.0, scale=(0.3, 0.5))
        assert crop(dict(may_be_false)) == may_be_false
    never = build(prob=0)
    assert never(dict(may_be_false)) == may_be_false


def test_probability():
    transform = build(prob=0.3, scale=(0.5, 0.6))
    cropped = sum(transform(record())['img'].shape[0] < 60 for _ in range(500))
    assert 110 < cropped < 190


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(prob=1.5), r'prob must be in \[0, 1\], got 1.5'),
        (dict(scale=(0.0, 1.0)), r'scale must be \(least, largest\) in \(0, 1\]'),
        (dict(scale=(0.9, 0.5)), 'scale'),
        (dict(scale=(0.5, 1.2)), 'scale'),
        (dict(margin=-1), 'margin must not be negative, got -1'),
    ],
)
def test_bad_settings(kwargs, message):
    with pytest.raises(ValueError, match=f'RandomReferringCrop: {message}'):
        build(**kwargs)


@pytest.mark.parametrize(
    'key, before',
    [('expression', 'ChooseExpression'), ('gt_seg_map', 'LoadReferringMask')],
)
def test_needs_expression_and_mask(key, before):
    results = record()
    del results[key]
    with pytest.raises(KeyError, match=f'{key}.*put {before} before it'):
        build()(results)
