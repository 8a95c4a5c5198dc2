# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from mmseg.registry import DATASETS

from mmcadformer.datasets.variants import category_objects

PIPELINE = [
    dict(type='mmseg.ChooseExpression', mode='first'),
    dict(type='mmseg.LoadReferringMask'),
]


def build(root, **kwargs):
    cfg = dict(type='ReferringSegDataset', data_root=str(root), name='toy')
    return DATASETS.build(dict(cfg, **kwargs))


@pytest.fixture
def crowded(toy):
    """Objects 0 and 3 share an image, so do 1 and 4; object 2 is alone."""
    for ref in toy.refs:
        ref['split'] = 'train'
        ref['category_id'] = toy.refs[0]['category_id']
    for annotation in toy.annotations:
        annotation['category_id'] = toy.refs[0]['category_id']
    return toy


def test_one_sample_more_per_image_shows_all_objects(crowded):
    root = crowded.write()
    plain = build(root, pipeline=PIPELINE)
    more = build(
        root,
        pipeline=PIPELINE,
        category_expressions=['every {category}', 'the {category}s and others'],
    )
    assert (len(plain), len(more)) == (5, 8)
    for i in range(5):
        assert more[i]['expressions'] == plain[i]['expressions']
    category = plain[0]['category']
    truths = crowded.truths.astype(bool)
    expected = [truths[0] | truths[3], truths[1] | truths[4], truths[2]]
    for i, truth in enumerate(expected):
        sample = more[5 + i]
        assert sample['img_path'] == plain[i]['img_path']
        assert sample['expressions'] == [
            f'every {category}',
            f'the {category}s and others',
        ]
        assert len(sample['sent_ids']) == 2
        np.testing.assert_array_equal(sample['gt_seg_map'].astype(bool), truth)
    ids = [more.get_data_info(i)['ref_id'] for i in range(8)]
    assert len(set(ids)) == 8


def test_categories_of_an_image_stay_apart():
    common = dict(img_path='a.png', image_id=1, sent_ids=[0], expressions=['x'])
    objects = [
        dict(common, ref_id=0, ann_id=0, category='pond', segmentation=[[0] * 6]),
        dict(common, ref_id=1, ann_id=1, category='dam', segmentation=[[1] * 6]),
        dict(common, ref_id=2, ann_id=2, category='pond', segmentation=[[2] * 6]),
        dict(common, ref_id=3, ann_id=3, category='pond', segmentation=None),
    ]
    pond, dam = category_objects(objects, ['every {category}'])
    assert pond['segmentation'] == [[0] * 6, [2] * 6]
    assert pond['expressions'] == ['every pond']
    assert dam['segmentation'] == [[1] * 6]
    assert objects[0]['segmentation'] == [[0] * 6]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(category_expressions='every {category}'), 'must be a list of sentences'),
        (
            dict(category_expressions=['every {category}'], test_mode=True),
            'category_expressions are for training',
        ),
    ],
)
def test_bad_settings(crowded, kwargs, message):
    with pytest.raises(ValueError, match=f'toy/train: .*{message}'):
        build(crowded.write(), **kwargs)


def test_mask_files_are_refused():
    obj = dict(
        img_path='a.png',
        image_id=1,
        ref_id=7,
        ann_id=None,
        category='pond',
        segmentation=dict(file='m.png', above=0),
    )
    with pytest.raises(ValueError, match=r'a.png, ref_id 7: .*m.png'):
        category_objects([obj], ['every {category}'])
