# SPDX-License-Identifier: Apache-2.0
"""Sentences that mean none, one or several objects, from disk to samples and back."""

import json
import pickle

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, TRANSFORMS

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets.targets import kind_of, targets_of

TOOL = 'dataset_converters/convert.py'


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def mixed(lines):
    """JSON lines: every form of several and of none beside one."""
    ship, image = lines.lines[3], 'images/0.png'
    lines.lines[1].update(object_id=[11, 'b'])
    lines.lines[1]['mask'] = [lines.lines[1]['mask'], ship['mask']]
    lines.lines[1]['category'] = ['ship', 'dam']
    lines.lines[2].update(kind='several')
    lines.lines[4]['mask'] = 'masks/0.png'
    lines.lines += [
        dict(
            image=image,
            expression='both of them',
            mask=['masks/0.png', 'masks/1.png'],
            split='train',
        ),
        dict(
            image=image,
            expression='the red ship',
            mask=[],
            kind='none/attribute',
            split='train',
            category='ship',
        ),
    ]
    lines.write()
    from PIL import Image

    Image.fromarray(lines.truths[1]).save(lines.root / 'masks' / '1.png')
    return lines


def records(kind, root, split='train', **kwargs):
    """Records of a split by their first sentence."""
    cfg = dict(kwargs, type=kind, data_root=str(root), split=split)
    dataset = DATASETS.build(dict(cfg, serialize_data=False))
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {record['expressions'][0]: record for record in found}


def mask_of(record):
    """Union of the targets as the pipeline loads it."""
    load = TRANSFORMS.build(dict(type='LoadReferringMask'))
    sample = dict(record, ori_shape=(40, 56), seg_fields=[])
    return load(sample)['gt_seg_map']


def test_json_lines_of_every_number_of_targets(mixed):
    found = records('ReferringJsonDataset', mixed.root)
    both = found['the second ship']
    assert both['ann_id'] == (11, 'b') and both['category'] == 'dam and ship'
    assert [target['category'] for target in targets_of(both)] == ['ship', 'dam']
    np.testing.assert_array_equal(mask_of(both), mixed.truths[1] | mixed.truths[3])
    files = found['both of them']
    assert files['ann_id'] == ('line-7/0', 'line-7/1')
    np.testing.assert_array_equal(mask_of(files), mixed.truths[0] | mixed.truths[1])
    absent = found['the red ship']
    assert kind_of(absent) == 'none/attribute' and not mask_of(absent).any()
    assert list(map(kind_of, found.values())) == [
        'one',
        'several',
        'several',
        'none/attribute',
    ]
    group = records('ReferringJsonDataset', mixed.root, 'val')['the ship number 2']
    assert kind_of(group) == 'several' and len(targets_of(group)) == 1


DAMAGE = {
    'too few masks': (dict(object_id=[1, 2, 3]), 'one for each of object_id'),
    'an id twice': (dict(object_id=[1, 1]), 'one for each of object_id'),
    'too few categories': (dict(category=['a']), 'category must be one for each'),
    'categories without ids': (dict(object_id=1), 'needs one as object_id'),
    'unknown kind': (dict(kind='many'), 'kind must be one of one, several'),
    'kind of no target': (dict(kind='none'), "'none' does not fit 2 masks"),
    'one of two': (dict(kind='one'), "'one' does not fit 2 masks"),
    'one of none': (dict(kind='one', mask=None), "'one' does not fit 0 masks"),
}


@pytest.mark.parametrize('name', DAMAGE)
def test_damage_names_file_and_line(mixed, name):
    change, message = DAMAGE[name]
    path = mixed.root / 'annotations.jsonl'
    content = path.read_text().split('\n')
    content[1] = json.dumps(dict(json.loads(content[1]), **change))
    path.write_text('\n'.join(content))
    with pytest.raises(ValueError, match=rf'annotations\.jsonl, line 2 .*{message}'):
        records('ReferringJsonDataset', mixed.root)


def facts(record):
    """What must survive every conversion."""
    keys = ('image_id', 'ref_id', 'ann_id', 'category', 'sent_ids', 'expressions')
    return (
        kind_of(record),
        mask_of(record).tobytes(),
        [(t['ann_id'], t['category']) for t in targets_of(record)],
        *(record[key] for key in keys),
    )


def test_refcoco_and_json_round_trip(mixed, call_tool, tmp_path, refer):
    """Through integers and back: the second round changes nothing."""

    def convert(*args):
        code, text = call_tool(TOOL, *args, '--workers', 0, '--quiet')
        assert code == 0, text

    source = ('--layout', 'json', '--data-root', mixed.root)
    below = ('--images-below', mixed.root)
    convert(*source, '--to', 'refcoco', '--out', tmp_path, '--out-name', 'a', *below)
    assert (tmp_path / 'a' / 'grefs(unc).p').is_file()
    assert not (tmp_path / 'a' / 'refs(unc).p').exists()
    source = ('--layout', 'refcoco', '--data-root', tmp_path, '--name', 'a')
    convert(*source, '--to', 'json', '--out', tmp_path / 'b')
    source, below = (
        ('--layout', 'json', '--data-root', tmp_path / 'b'),
        ('--images-below', tmp_path),
    )
    convert(*source, '--to', 'refcoco', '--out', tmp_path, '--out-name', 'c', *below)
    for split in ('train', 'val', 'test'):
        first = records('ReferringJsonDataset', mixed.root, split)
        by_name = records('ReferringSegDataset', tmp_path, split, name='a')
        lines = records('ReferringJsonDataset', tmp_path / 'b', split)
        again = records('ReferringSegDataset', tmp_path, split, name='c')
        for text, record in first.items():
            # ids become numbers, and empty masks lose them
            ours, theirs = facts(record), facts(by_name[text])
            assert ours[:2] == theirs[:2] and ours[-1] == theirs[-1]
            assert [c for _, c in ours[2]] == [c for _, c in theirs[2]]
            assert record['category'] == by_name[text]['category']
            assert facts(by_name[text]) == facts(lines[text]) == facts(again[text])


def test_references_as_grefcoco_has_them(toy):
    """Lists of ids, -1 for none; written by hand."""
    for ref in toy.refs:
        ref.update(ann_id=[ref['ann_id']], category_id=[1], no_target=False)
    toy.annotations[3].update(image_id=7)
    toy.refs[0].update(ann_id=[100, 103], category_id=[1, 2])
    toy.refs[1].update(ann_id=[-1], category_id=[-1], no_target=True)
    toy.write()
    toy.refs_path.unlink()
    path = toy.refs_path.with_name('grefs(unc).json')
    path.write_text(json.dumps(toy.refs))
    found = list(records('ReferringSegDataset', toy.root, name='toy').values())
    assert list(map(kind_of, found)) == ['several', 'none', 'one']
    assert found[0]['ann_id'] == (100, 103) and found[2]['ann_id'] == 102
    assert found[1]['ann_id'] == () and found[1]['category'] == 'none'
    union = toy.truths[0] | toy.truths[3]
    np.testing.assert_array_equal(mask_of(found[0]), union)
    path.unlink()
    path.with_suffix('.p').write_bytes(pickle.dumps(toy.refs))
    again = list(records('ReferringSegDataset', toy.root, name='toy').values())
    assert again == found


def test_objects_with_one_sentence_are_merged(toy):
    for i in (1, 2):  # one image, one split
        toy.annotations[i]['image_id'] = 7
        toy.refs[i].update(image_id=7, split='train')
    for i in (0, 1, 2):
        toy.refs[i]['sentences'].append(dict(raw='The ships. ' if i else 'the ships'))
    toy.write()
    options = dict(name='toy', merge_expressions=True)
    found = records('ReferringSegDataset', toy.root, **options)
    merged = found.pop('the ships')
    assert merged['ann_id'] == (100, 101, 102) and merged['ref_id'] == '0+1+2'
    assert merged['kind'] == 'several'  # what metric files are told
    np.testing.assert_array_equal(mask_of(merged), toy.truths[:3].any(axis=0))
    apart = records('ReferringSegDataset', toy.root, name='toy')
    for text, record in found.items():
        assert record['ann_id'] == apart[text]['ann_id']
        assert record['expressions'] == apart[text]['expressions'][:-1]


def test_sentences_of_a_language(toy):
    toy.refs[0]['sentences'] = [dict(raw='左边的船'), dict(raw='a ship – left')]
    toy.refs[2]['sentences'] = [dict(raw='船 A')]
    toy.write()
    english = records('ReferringSegDataset', toy.root, name='toy', language='en')
    assert sorted(english) == ['The ship 1 on the left', 'a ship – left']
    chinese = records('ReferringSegDataset', toy.root, name='toy', language='zh')
    assert sorted(chinese) == ['左边的船', '船 A']


def test_sentences_whose_category_is_not_there(toy):
    """Every other image has them, of categories that it hasn't."""
    toy.annotations[2]['category_id'] = 2
    toy.write()
    options = dict(name='toy', exhaustive=True, absent_expressions=1.0)
    cfg = dict(type='ReferringSegDataset', data_root=str(toy.root), **options)
    dataset = DATASETS.build(dict(cfg, serialize_data=False))
    found = [dataset.get_data_info(i) for i in range(len(dataset))]
    absent = [record for record in found if kind_of(record) == 'none/category']
    there = {7: 'ship', 8: 'dam', 9: 'dam'}
    assert len(absent) == 3 and len(found) == 6
    for record in absent:
        assert record['category'] != there[record['image_id']]
        assert len(record['expressions']) == len(record['sent_ids']) == 1
    with pytest.raises(ValueError, match='need exhaustive=True'):
        records('ReferringSegDataset', toy.root, name='toy', absent_expressions=0.5)


def test_shuffling_takes_sentences_of_other_targets_alone(mixed):
    for line in mixed.lines:
        line.update(image='images/0.png', split='train')
    mixed.write()
    options = dict(test_mode=True, shuffle_expressions=True)
    plain = records('ReferringJsonDataset', mixed.root, test_mode=True)
    cfg = dict(type='ReferringJsonDataset', data_root=str(mixed.root), **options)
    dataset = DATASETS.build(cfg)
    for i in range(len(dataset)):
        record = dataset.get_data_info(i)
        other = plain[record['expressions'][0]]
        own = {t['ann_id'] for t in targets_of(record)}
        assert own.isdisjoint({t['ann_id'] for t in targets_of(other)})
        assert own or targets_of(other)


def test_crops_of_samples_without_a_target():
    crop = TRANSFORMS.build(dict(type='RandomReferringCrop', prob=1.0))
    np.random.seed(0)
    shapes, corners = [], []
    image = np.stack(np.mgrid[:40, :60], axis=-1)
    for _ in range(200):
        truth = np.zeros((40, 60), np.uint8)
        sample = dict(img=image, gt_seg_map=truth, seg_fields=['gt_seg_map'])
        found = crop(dict(sample, expression='the red tank'))
        shapes.append(found['img_shape'])
        corners.append(found['img'][0, 0])
        assert found['gt_seg_map'].shape == found['img_shape']
    low, high = np.min(shapes, axis=0), np.max(shapes, axis=0)
    assert (low >= (20, 30)).all() and (low <= (22, 33)).all()
    assert (high >= (38, 57)).all()
    assert np.max(corners, axis=0)[0] > 15 and np.min(corners) == 0
    sample = dict(img=image, gt_seg_map=truth, seg_fields=['gt_seg_map'])
    assert crop(dict(sample, expression='the tank on the left'))['img'] is image


def test_check_and_statistics_tell_the_kinds(mixed, call_tool, tmp_path):
    source = ('--layout', 'json', '--data-root', mixed.root)
    code, text = call_tool('analysis/check_dataset.py', *source, '--workers', 0)
    assert code == 0, text
    assert '2 expressions of kind none' not in text
    assert '1 expressions of kind none/attribute' in text
    assert '4 expressions of kind several' in text
    path = tmp_path / 'statistics.json'
    tool = 'analysis/dataset_stats.py'
    code, text = call_tool(tool, *source, '--json', path, '--workers', 0)
    assert code == 0, text
    kinds = {'none': 1, 'none/attribute': 1, 'one': 3, 'several': 4}
    assert json.loads(path.read_text())['kinds'] == kinds
    assert 'targets of an expression' in text
