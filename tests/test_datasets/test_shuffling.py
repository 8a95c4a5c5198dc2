# SPDX-License-Identifier: Apache-2.0
import logging
import random

import pytest
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS

import mmcadformer  # noqa: F401  (registers the datasets)


def build(root, **kwargs):
    cfg = dict(type='ReferringSegDataset', data_root=str(root), name='toy')
    return DATASETS.build(dict(cfg, split='test', test_mode=True, **kwargs))


def records_of(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.fixture
def crowded(toy):
    """Objects 0 and 3 share an image, so do 1 and 4; object 2 is alone."""
    for ref in toy.refs:
        ref['split'] = 'test'
    return toy


def test_expressions_come_from_other_objects_of_the_image(crowded):
    crowded.write()
    other = {0: 3, 3: 0, 1: 4, 4: 1}
    sentences = {
        ref['ref_id']: {s['raw'] for s in ref['sentences']} for ref in crowded.refs
    }
    plain = records_of(build(crowded.root))
    shuffled = records_of(build(crowded.root, shuffle_expressions=True))
    assert [r['ref_id'] for r in shuffled] == [0, 1, 1, 3, 3, 4]
    for record in shuffled:
        assert record['expressions'][0] in sentences[other[record['ref_id']]]
    changed = dict(expressions=None, sample_idx=None)
    rest = [dict(r, **changed) for r in plain if r['ref_id'] != 2]
    assert [dict(r, **changed) for r in shuffled] == rest


def test_left_out_records_are_counted_in_the_log(crowded):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        build(crowded.write(), shuffle_expressions=True)
    finally:
        logger.removeHandler(handler)
    assert any('1 of 7 left out' in record.getMessage() for record in records)


def test_draw_is_independent_of_order_and_global_seed(crowded):
    crowded.refs[3]['sentences'] += [
        dict(sent_id=50 + i, raw=f'another sentence {i}') for i in range(20)
    ]
    for i in range(1, 4):
        crowded.refs.append(dict(crowded.refs[0], ref_id=20 + i))
        crowded.refs[-1]['sentences'] = [dict(sent_id=80 + i, raw='same box')]
    crowded.write()

    def drawn():
        records = records_of(build(crowded.root, shuffle_expressions=True))
        return {(r['ref_id'], r['sent_ids'][0]): r['expressions'] for r in records}

    first = drawn()
    random.seed(7)
    crowded.refs.reverse()
    crowded.write()
    assert drawn() == first
    # Not the same neighbour's sentence for everybody.
    on_first_object = [first[key] for key in first if key[0] in (0, 21, 22, 23)]
    assert len({tuple(e) for e in on_first_object}) > 1


def test_sentences_that_fit_both_objects_are_not_used(crowded):
    crowded.refs[3]['sentences'][0]['raw'] = crowded.refs[0]['sentences'][0]['raw']
    crowded.write()
    records = records_of(build(crowded.root, shuffle_expressions=True))
    assert [r['expressions'] for r in records if r['ref_id'] == 0] == [
        ['ship number 3']
    ]


def test_nothing_left_is_an_error(toy):
    with pytest.raises(ValueError, match='toy/val: shuffle_expressions leaves'):
        DATASETS.build(
            dict(
                type='ReferringSegDataset',
                data_root=str(toy.write()),
                name='toy',
                split='val',
                test_mode=True,
                shuffle_expressions=True,
            )
        )


def test_training_refuses_it(toy):
    with pytest.raises(ValueError, match='needs test_mode=True'):
        DATASETS.build(
            dict(
                type='ReferringSegDataset',
                data_root=str(toy.write()),
                name='toy',
                shuffle_expressions=True,
            )
        )
