# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import numpy as np
import pytest
import torch
from mmseg.registry import TRANSFORMS

from mmcadformer.datasets import PackReferringInputs


@pytest.fixture(autouse=True)
def _seed():
    np.random.seed(0)


def build(name, **kwargs):
    return TRANSFORMS.build(dict(type=name, **kwargs))


def record(expression='the tank on the left', height=6, width=9):
    """A sample whose pixels all differ, with a mask."""
    values = np.arange(height * width * 3, dtype=np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[1:3, 1:4] = 1
    mask[4, 0] = 255
    return dict(
        img=values.reshape(height, width, 3),
        img_shape=(height, width),
        gt_seg_map=mask,
        seg_fields=['gt_seg_map'],
        expression=expression,
    )


def test_choose_expression():
    texts = dict(expressions=['a', 'b', 'c'], sent_ids=[5, 6, 7])
    first = build('ChooseExpression', mode='first')(dict(texts))
    assert (first['expression'], first['sent_id']) == ('a', 5)
    transform = build('ChooseExpression')
    drawn = Counter()
    for _ in range(600):
        result = transform(dict(texts))
        drawn[result['expression'], result['sent_id']] += 1
    assert set(drawn) == {('a', 5), ('b', 6), ('c', 7)}
    assert min(drawn.values()) > 150
    with pytest.raises(ValueError, match="'random' or 'first', got 'last'"):
        build('ChooseExpression', mode='last')


def test_load_mask_names_image_and_object_of_a_damaged_mask():
    results = dict(
        img_path='x.png',
        ref_id=4,
        height=5,
        width=5,
        segmentation=[[1, 2, 3]],
        seg_fields=[],
    )
    with pytest.raises(ValueError, match='x.png, ref_id 4: polygon must be'):
        build('LoadReferringMask')(results)


def test_load_mask_after_resize_keeps_the_original_size():
    results = dict(
        img=np.zeros((50, 80, 3), np.uint8),
        img_path='x.png',
        ori_shape=(50, 80),
        height=50,
        width=80,
        segmentation=[[10, 10, 30, 10, 30, 20, 10, 20]],
        seg_fields=[],
    )
    results = build('mmseg.Resize', scale=(16, 16), keep_ratio=False)(results)
    results = build('LoadReferringMask')(results)
    assert results['img'].shape == (16, 16, 3)
    assert results['gt_seg_map'].shape == (50, 80)
    assert results['gt_seg_map'].sum() == 200
    assert results['gt_seg_map'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map']


def test_box_erasing_paints_boxes_inside_the_image():
    transform = build('RandomBoxErasing', prob=1.0, num_boxes=(1, 3), box_size=8)
    covered = np.zeros((20, 30), bool)
    for _ in range(300):
        source = np.full((20, 30, 3), 200, np.uint8)
        mask = np.ones((20, 30), np.uint8)
        results = transform(dict(img=source, gt_seg_map=mask))
        erased = (results['img'] == 0).all(axis=2)
        assert ((results['img'] == 200).all(axis=2) | erased).all()
        assert 64 <= erased.sum() <= 3 * 64
        assert mask.all() and (source == 200).all()
        covered |= erased
    # up to every border of an image that isn't square
    assert covered.any(axis=0).all() and covered.any(axis=1).all()


def test_box_erasing_counts_and_probability():
    transform = build('RandomBoxErasing', prob=0.3, num_boxes=(2, 2), box_size=1)
    sizes = Counter()
    for _ in range(1000):
        img = transform(dict(img=np.ones((300, 400, 3), np.uint8)))['img']
        sizes[int((img[..., 0] == 0).sum())] += 1
    assert 600 < sizes[0] < 800
    assert sizes[0] + sizes[2] > 990  # two boxes at one place are rare
    never = build('RandomBoxErasing', prob=0)
    assert never(dict(img=np.ones((40, 40, 3), np.uint8)))['img'].all()


def test_box_larger_than_the_image():
    transform = build('RandomBoxErasing', prob=1, num_boxes=(1, 1), box_size=99, fill=7)
    img = transform(dict(img=np.zeros((5, 4, 3), np.uint8)))['img']
    assert (img == 7).all()


@pytest.mark.parametrize(
    'name, kwargs, message',
    [
        ('RandomBoxErasing', dict(prob=2), r'prob must be in \[0, 1\]'),
        ('RandomBoxErasing', dict(num_boxes=(5, 2)), 'num_boxes'),
        ('RandomBoxErasing', dict(box_size=0), 'box_size'),
        ('RandomReferringFlip', dict(prob=-1), r'prob must be in \[0, 1\]'),
        ('RandomReferringFlip', dict(directions=('up',)), 'directions'),
        ('RandomReferringFlip', dict(directions=()), 'directions'),
        ('RandomReferringRotate90', dict(prob=-1), r'prob must be in \[0, 1\]'),
        ('RandomReferringRotate90', dict(angles=(45,)), 'angles'),
    ],
)
def test_bad_settings(name, kwargs, message):
    with pytest.raises(ValueError, match=f'{name}.*{message}'):
        build(name, **kwargs)


@pytest.mark.parametrize(
    'direction, axis, expression',
    [
        ('horizontal', 1, 'the tank on the right'),
        ('vertical', 0, 'the tank on the left'),
    ],
)
def test_flip(direction, axis, expression):
    before = record()
    result = build('RandomReferringFlip', prob=1.0, directions=direction)(record())
    np.testing.assert_array_equal(result['img'], np.flip(before['img'], axis))
    np.testing.assert_array_equal(
        result['gt_seg_map'], np.flip(before['gt_seg_map'], axis)
    )
    assert result['expression'] == expression
    assert (result['flip'], result['flip_direction']) == (True, direction)


@pytest.mark.parametrize(
    'angle, expression',
    [
        (90, 'the tank at the bottom'),
        (180, 'the tank on the right'),
        (270, 'the tank at the top'),
    ],
)
def test_rotate(angle, expression):
    before = record()
    result = build('RandomReferringRotate90', prob=1.0, angles=[angle])(record())
    expected = before['img'], before['gt_seg_map']
    for _ in range(angle // 90):  # one counter-clockwise quarter turn
        expected = [np.flip(np.swapaxes(array, 0, 1), 0) for array in expected]
    np.testing.assert_array_equal(result['img'], expected[0])
    np.testing.assert_array_equal(result['gt_seg_map'], expected[1])
    assert result['img_shape'] == result['img'].shape[:2]
    assert result['expression'] == expression
    assert result['rotation'] == angle


def test_samples_stay_where_the_expression_cannot_follow():
    for transform in (
        build('RandomReferringFlip', prob=1.0),
        build('RandomReferringRotate90', prob=1.0),
    ):
        for _ in range(10):
            before = record('the second tank after a left turn')
            result = transform(record('the second tank after a left turn'))
            assert not result.get('flip') and not result.get('rotation')
            assert result['expression'] == before['expression']
            np.testing.assert_array_equal(result['img'], before['img'])
            np.testing.assert_array_equal(result['gt_seg_map'], before['gt_seg_map'])


def test_flip_and_rotate_draw_what_they_may():
    flip = build('RandomReferringFlip', prob=0.5)
    drawn = Counter(flip(record())['flip_direction'] for _ in range(400))
    assert set(drawn) == {None, 'horizontal', 'vertical'}
    assert 150 < drawn[None] < 250 and min(drawn.values()) > 60
    rotate = build('RandomReferringRotate90', prob=0.6)
    drawn = Counter(rotate(record())['rotation'] for _ in range(400))
    assert set(drawn) == {0, 90, 180, 270}
    assert 110 < drawn[0] < 210 and min(drawn.values()) > 50


@pytest.mark.parametrize('name', ['RandomReferringFlip', 'RandomReferringRotate90'])
def test_moves_need_an_expression(name):
    results = record()
    del results['expression']
    with pytest.raises(KeyError, match='ChooseExpression'):
        build(name, prob=1.0)(results)


def test_pack():
    results = record('the upper dam')
    results.update(
        img_path='a.png',
        ori_shape=(12, 18),
        scale_factor=(0.5, 0.5),
        image_id=3,
        ref_id=4,
        sent_id=5,
        ann_id=6,
        category='dam',
        dataset_name='toy',
        secret=1,
    )
    results = build('RandomReferringFlip', prob=1.0, directions='horizontal')(results)
    packed = build('PackReferringInputs')(results)
    assert packed['inputs'].dtype == torch.uint8
    assert packed['inputs'].is_contiguous()
    np.testing.assert_array_equal(
        packed['inputs'].permute(1, 2, 0).numpy(), results['img']
    )
    sample = packed['data_samples']
    assert sample.gt_sem_seg.data.dtype == torch.int64
    np.testing.assert_array_equal(
        sample.gt_sem_seg.data[0].numpy(), results['gt_seg_map']
    )
    assert sample.metainfo == dict(
        expression='the upper dam',
        img_path='a.png',
        ori_shape=(12, 18),
        img_shape=(6, 9),
        scale_factor=(0.5, 0.5),
        image_id=3,
        ref_id=4,
        sent_id=5,
        ann_id=6,
        category='dam',
        dataset_name='toy',
        flip=True,
        flip_direction='horizontal',
    )


def test_pack_without_mask_and_without_expression():
    results = record()
    del results['gt_seg_map']
    sample = PackReferringInputs(meta_keys=['expression'])(results)['data_samples']
    assert 'gt_sem_seg' not in sample
    assert sample.metainfo == dict(expression='the tank on the left')
    del results['expression']
    with pytest.raises(KeyError, match='ChooseExpression'):
        PackReferringInputs()(results)
