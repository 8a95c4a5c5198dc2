# SPDX-License-Identifier: Apache-2.0
import json
import os
import pickle
import re

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import ConcatDataset, pseudo_collate
from mmseg.registry import DATASETS
from pycocotools import mask as mask_utils
from torch.utils.data import DataLoader

from mmcadformer.datasets import (
    ReferringSegDataset,
    RRSISDDataset,
    RRSISHRDataset,
    SynthRSDataset,
    UnsafePickleError,
)

LOAD = dict(type=LoadImageFromFile)  # mmcv's, whatever the default scope is
TRAIN = [
    LOAD,
    dict(type='mmseg.ChooseExpression'),
    dict(type='mmseg.LoadReferringMask'),
    dict(type='mmseg.Resize', scale=(32, 24), keep_ratio=False),
    dict(type='mmseg.PackReferringInputs'),
]
TEST = [LOAD, TRAIN[1], TRAIN[3], TRAIN[2], TRAIN[4]]


def build(root, **kwargs):
    return DATASETS.build(
        dict(type='ReferringSegDataset', data_root=str(root), name='toy', **kwargs)
    )


def test_masks_of_every_form_are_read(toy):
    toy.write()
    seen = {}
    for split in ('train', 'val', 'testA'):
        dataset = build(toy.root, split=split, test_mode=True, pipeline=TEST)
        for sample in dataset:
            sample = sample['data_samples']
            seen[sample.ref_id] = sample.gt_sem_seg.data[0].numpy()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    for ref_id, mask in seen.items():
        np.testing.assert_array_equal(mask, toy.truths[ref_id])


def test_training_has_one_record_per_object(toy):
    dataset = build(toy.write(), split='train')
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [r['ref_id'] for r in records] == [0, 1, 2]
    assert records[1]['expressions'] == ['The ship 1 on the left', 'ship number 1']
    assert records[1]['sent_ids'] == [10, 11]
    expected = dict(
        img_path=str(toy.image_dir / '1.png'),
        image_id=8,
        ann_id=101,
        category='dam',
        height=40,
        width=56,
        split='train',
        dataset_name='toy',
        seg_fields=[],
        label_map=None,
        reduce_zero_label=False,
    )
    assert {key: records[1][key] for key in expected} == expected


def test_testing_has_one_record_per_sentence(toy):
    dataset = build(toy.write(), split='train', test_mode=True)
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [(r['ref_id'], r['expressions'], r['sent_ids']) for r in records] == [
        (0, ['The ship 0 on the left'], [0]),
        (1, ['The ship 1 on the left'], [10]),
        (1, ['ship number 1'], [11]),
        (2, ['The ship 2 on the left'], [20]),
    ]


def test_test_split_takes_all_test_parts(toy):
    toy.refs[3]['split'] = 'testB'
    dataset = build(toy.write(), split='test')
    assert [dataset.get_data_info(i)['ref_id'] for i in range(len(dataset))] == [3, 4]
    assert len(build(toy.root, split='testA')) == 1


def test_sent_is_used_where_raw_is_missing_or_empty(toy):
    sentence = toy.refs[0]['sentences'][0]
    del sentence['raw']
    toy.refs[1]['sentences'][0]['raw'] = ''
    dataset = build(toy.write())
    assert dataset.get_data_info(0)['expressions'] == ['the ship 0 on the left']
    assert dataset.get_data_info(1)['expressions'][0] == 'the ship 1 on the left'


def test_sentence_ids_fall_back_to_the_list_of_the_ref(toy):
    for sentence in toy.refs[1]['sentences']:
        del sentence['sent_id']
    assert build(toy.write()).get_data_info(1)['sent_ids'] == [10, 11]


def test_json_refs_are_read_and_preferred(toy):
    toy.write()
    refs = json.loads(json.dumps(toy.refs))
    refs[0]['sentences'][0]['raw'] = 'from JSON'
    (toy.root / 'toy' / 'refs.json').write_text(json.dumps(refs))
    toy.refs_path.write_bytes(b'broken')
    assert build(toy.root).get_data_info(0)['expressions'] == ['from JSON']


def test_ann_file_names_another_file(toy):
    toy.write()
    other = toy.root / 'toy' / 'refs(google).p'
    other.write_bytes(pickle.dumps(toy.refs[:1]))
    assert len(build(toy.root, ann_file='toy/refs(google).p')) == 1


def test_images_in_subfolders(toy):
    toy.write()
    (toy.image_dir / 'sub').mkdir()
    (toy.image_dir / '0.png').rename(toy.image_dir / 'sub' / '0.png')
    toy.images[0]['file_name'] = 'sub/0.png'
    content = dict(images=toy.images, annotations=toy.annotations)
    toy.instances_path.write_text(json.dumps(content))
    dataset = build(toy.root, pipeline=TRAIN)
    assert dataset[0]['inputs'].shape == (3, 24, 32)


def test_excluded_entries_may_be_damaged(toy):
    toy.refs[1]['sentences'] = []
    toy.refs[2]['image_id'] = 999
    toy.write()
    text = toy.root / 'leave-out.txt'
    text.write_text('# known damage\n1\n 2  # no such image\n\n')
    listed = toy.root / 'leave-out.json'
    listed.write_text('[1, "2"]')
    for path in (text, listed):
        dataset = build(toy.root, exclude_file=str(path))
        assert [dataset.get_data_info(i)['ref_id'] for i in range(len(dataset))] == [0]
    text.write_text('0\n1\n2\n')
    with pytest.raises(ValueError, match='left out by .*leave-out.txt'):
        build(toy.root, exclude_file=str(text))
    with pytest.raises(FileNotFoundError, match='exclude_file .*missing.txt'):
        build(toy.root, exclude_file='missing.txt')


def test_damage_in_another_split_stops_nobody(toy):
    toy.refs[3].update(image_id=999, sentences=[])
    toy.annotations[4]['segmentation'] = []
    assert len(build(toy.write(), split='train')) == 3


def _set(target, **values):
    return lambda toy: target(toy).update(values)


DAMAGE = {
    'unknown annotation': (
        _set(lambda t: t.refs[1], ann_id=555),
        r'refs\(unc\)\.p: ref_id 1 .*annotation id 555.*instances\.json',
    ),
    'unknown image': (
        _set(lambda t: t.refs[1], image_id=555),
        r'refs\(unc\)\.p: ref_id 1 .*image id 555.*instances\.json',
    ),
    'image of another object': (
        _set(lambda t: t.refs[1], image_id=7),
        r'annotation id 101 .*ref_id 1\) belongs to image id 8, not 7',
    ),
    'empty expression': (
        _set(lambda t: t.refs[1]['sentences'][1], raw='  ', sent=''),
        r'ref_id 1: expression 1 is empty',
    ),
    'expression of another type': (
        _set(lambda t: t.refs[1]['sentences'][1], raw=['a']),
        r'ref_id 1: expression 1 is empty or not text',
    ),
    'no expression': (
        _set(lambda t: t.refs[1], sentences=[]),
        r'ref_id 1 has no expression.*exclude_file',
    ),
    'sentences of another type': (
        _set(lambda t: t.refs[1], sentences='a tank'),
        r'ref_id 1: sentences must be a list',
    ),
    'sentence of another type': (
        _set(lambda t: t.refs[1], sentences=['a tank']),
        r'ref_id 1: sentence 0 must be a dict',
    ),
    'duplicate ref': (
        _set(lambda t: t.refs[3], ref_id=1),
        r'refs\(unc\)\.p: ref_id 1 is used by more than one',
    ),
    'duplicate annotation': (
        _set(lambda t: t.annotations[4], id=101),
        r'instances\.json: annotation id 101.*ref_id 1.*more than one',
    ),
    'duplicate image': (
        _set(lambda t: t.images[2], id=8),
        r'instances\.json: image id 8.*ref_id 1.*more than one',
    ),
    'ref without a key': (
        lambda t: t.refs[4].pop('ann_id'),
        r"refs\(unc\)\.p: entry 4 has no 'ann_id'",
    ),
    'ref of another type': (
        lambda t: t.refs.insert(2, 'x'),
        r'refs\(unc\)\.p: entry 2: expected a dict',
    ),
    'id of another type': (
        _set(lambda t: t.refs[2], ann_id=[1.5]),
        r'entry 2: an ann_id must be a number or text',
    ),
    'annotation without mask': (
        lambda t: t.annotations[1].pop('segmentation'),
        r"instances\.json: annotation id 101 .*has no 'segmentation'",
    ),
    'annotation without id': (
        lambda t: t.annotations[1].pop('id'),
        r"instances\.json: annotations\[1\] has no 'id'",
    ),
    'empty mask': (
        _set(lambda t: t.annotations[1], segmentation=[]),
        r'annotation id 101 \(used by .*ref_id 1\): segmentation must be',
    ),
    'mask of another size': (
        lambda t: t.annotations[1]['segmentation'].update(size=[56, 40]),
        r'annotation id 101 .*\[56, 40\].*\[40, 56\]',
    ),
    'image of another size': (
        _set(lambda t: t.images[1], height=41),
        r'annotation id 101 .*\[40, 56\].*\[41, 56\]',
    ),
    'image without name': (
        lambda t: t.images[1].pop('file_name'),
        r"image id 8 .*ref_id 1\) has no 'file_name'",
    ),
    'image with an empty name': (
        _set(lambda t: t.images[1], file_name=''),
        r'image id 8 .*: file_name must be text',
    ),
    'image without size': (
        _set(lambda t: t.images[1], width=None),
        r'image id 8 .*: width must be a positive',
    ),
    'images of another type': (
        lambda t: setattr(t, 'images', {'7': {}}),
        r'instances\.json: images must be a list',
    ),
    'no refs': (
        lambda t: t.refs.clear(),
        r"no entry of the split 'train'; available: none",
    ),
    'refs of another type': (
        lambda t: setattr(t, 'refs', {'refs': []}),
        r'refs\(unc\)\.p: expected a list',
    ),
}


@pytest.mark.parametrize('name', DAMAGE)
def test_damage_names_file_and_entry(toy, name):
    damage, message = DAMAGE[name]
    damage(toy)
    toy.write()
    with pytest.raises(ValueError, match=message):
        build(toy.root)


@pytest.mark.parametrize('key', ['images', 'annotations'])
def test_instances_without_a_list(toy, key):
    toy.write()
    content = json.loads(toy.instances_path.read_text())
    del content[key]
    toy.instances_path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"instances\.json has no '{key}'"):
        build(toy.root)


def test_truncated_files(toy):
    toy.write()
    text = toy.instances_path.read_text()
    toy.instances_path.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match=r'instances\.json: not valid JSON'):
        build(toy.root)
    toy.instances_path.write_text(text)
    toy.refs_path.write_bytes(toy.refs_path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r'refs\(unc\)\.p: not a readable pickle'):
        build(toy.root)


class _MakesFolder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_malicious_refs_are_refused_and_nothing_runs(toy):
    toy.write()
    target = toy.root / 'made-by-the-pickle'
    toy.refs_path.write_bytes(pickle.dumps([*toy.refs, _MakesFolder(str(target))]))
    with pytest.raises(UnsafePickleError, match=r'refs\(unc\)\.p.*mkdir'):
        build(toy.root)
    assert not target.exists()


def test_unknown_split_lists_the_others(toy):
    with pytest.raises(ValueError, match="'valid'; available: testA, train, val"):
        build(toy.write(), split='valid')


def test_missing_files_come_with_the_expected_tree(toy):
    tree = r'Expected below .*\n.*toy/refs\(unc\)\.p.*\n.*\n.*toy/JPEGImages'
    with pytest.raises(FileNotFoundError, match=rf'none of refs\.json.*toy\. {tree}'):
        build(toy.root)
    toy.write()
    toy.instances_path.unlink()
    with pytest.raises(FileNotFoundError, match=rf'instances\.json does not.*{tree}'):
        build(toy.root)
    toy.write()
    for path in toy.image_dir.iterdir():
        path.unlink()
    toy.image_dir.rmdir()
    with pytest.raises(FileNotFoundError, match=rf'JPEGImages of .toy.*{tree}'):
        build(toy.root)
    with pytest.raises(FileNotFoundError, match='nothing.p does not exist'):
        build(toy.root, ann_file='toy/nothing.p')


def test_missing_images_are_found_when_the_dataset_is_built(toy):
    toy.write()
    (toy.image_dir / '0.png').unlink()
    (toy.image_dir / '2.png').unlink()
    with pytest.raises(FileNotFoundError) as error:
        build(toy.root)
    assert '2 images' in str(error.value)
    assert str(toy.image_dir / '0.png') in str(error.value)
    assert str(toy.image_dir / '2.png') in str(error.value)
    assert build(toy.root, split='testA')  # which needs neither


def test_image_whose_size_the_annotations_misstate(toy):
    toy.write()
    cv2.imwrite(str(toy.image_dir / '1.png'), np.zeros((56, 40, 3), np.uint8))
    dataset = build(toy.root, pipeline=TRAIN)
    with pytest.raises(ValueError, match=r'1\.png is 56 x 40 .*ref_id 1 .*40 x 56'):
        dataset[1]


def test_metainfo_tells_labels_and_categories(toy):
    toy.write()
    dataset = build(toy.root, split='train')
    assert dataset.metainfo['classes'] == ('background', 'target')
    assert len(dataset.metainfo['palette']) == 2
    assert dataset.metainfo['categories'] == ('dam', 'ship')
    lazy = build(toy.root, split='testA', test_mode=True, lazy_init=True)
    assert len(lazy) == 1 and lazy.metainfo['categories'] == ('ship',)
    own = build(toy.root, metainfo=dict(categories=('ship', 'dam')))
    assert own.metainfo['categories'] == ('ship', 'dam')


def test_categories_under_the_name_of_classes_are_refused(toy):
    class OwnDataset(ReferringSegDataset):
        METAINFO = dict(classes=('dam', 'ship'))

    toy.write()
    with pytest.raises(ValueError, match=r"metainfo\['categories'\]"):
        build(toy.root, metainfo=dict(classes=('dam', 'ship')))
    with pytest.raises(ValueError, match=r"metainfo\['categories'\]"):
        OwnDataset(str(toy.root), 'toy')


def test_sizes_as_decimals_and_degenerate_parts(toy):
    toy.images[0].update(height=40.0, width=56.0)
    toy.annotations[0]['segmentation'] = [*toy.annotations[0]['segmentation'], [1, 2]]
    dataset = build(toy.write())
    info = dataset.get_data_info(0)
    assert (info['height'], info['width']) == (40, 56)
    assert isinstance(info['height'], int) and len(info['segmentation']) == 1
    with pytest.raises(ValueError, match='annotation id .* at least three'):
        build(toy.root, strict_polygons=True)


def test_unnamed_category_is_reported_by_its_id(toy):
    toy.categories = [dict(id=1, name='ship'), 'x', dict(id=[2], name='dam')]
    toy.annotations[2]['category_id'] = ['x']
    dataset = build(toy.write())
    names = [dataset.get_data_info(i)['category'] for i in range(3)]
    assert names == ['ship', '2', "['x']"]


def test_declared_datasets():
    assert len(RRSISDDataset.METAINFO['categories']) == 20
    assert len(RRSISHRDataset.METAINFO['categories']) == 7
    for cls, name in [
        (RRSISDDataset, 'rrsisd'),
        (RRSISHRDataset, 'rrsishr'),
        (SynthRSDataset, 'synthrs'),
    ]:
        assert DATASETS.get(cls.__name__) is cls
        dataset = cls('root', lazy_init=True, test_mode=True)
        assert dataset.name == name
        assert dataset.data_prefix['img_path'] == f'root/images/{name}/JPEGImages'
        assert dataset.metainfo['categories'] == cls.METAINFO['categories']
        assert dataset.metainfo['label_map'] is None


def test_concatenation_keeps_each_name(toy):
    root = str(toy.write())
    (toy.root / 'rrsisd').symlink_to(toy.root / 'toy')
    (toy.root / 'images' / 'rrsisd').symlink_to(toy.root / 'images' / 'toy')
    dataset = ConcatDataset(
        [
            ReferringSegDataset(root, 'toy'),
            RRSISDDataset(root, split='val'),
        ],
        ignore_keys=['categories'],
    )
    names = [dataset.get_data_info(i)['dataset_name'] for i in range(len(dataset))]
    assert names == ['toy'] * 3 + ['rrsisd']


def test_workers_load_what_the_main_process_loads(toy):
    dataset = build(toy.write(), test_mode=True, pipeline=TEST)
    assert not dataset.data_list  # serialized: workers share it, none copies it
    loader = DataLoader(
        dataset,
        batch_size=2,
        num_workers=2,
        collate_fn=pseudo_collate,
    )
    loaded = [
        (image, sample)
        for batch in loader
        for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True)
    ]
    assert len(loaded) == len(dataset) == 4
    for (image, sample), here in zip(loaded, dataset, strict=True):
        assert torch.equal(image, here['inputs'])
        assert sample.expression == here['data_samples'].expression
        truth = here['data_samples'].gt_sem_seg.data
        assert torch.equal(sample.gt_sem_seg.data, truth)


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_real_imagery(imagery, split):
    root = imagery / 'naip_ponds'
    dataset = ReferringSegDataset(
        str(root), 'naip_ponds', split=split, test_mode=True, pipeline=TEST
    )
    content = json.loads((root / 'naip_ponds' / 'instances.json').read_text())
    annotations = {entry['id']: entry for entry in content['annotations']}
    images = {entry['id']: entry for entry in content['images']}
    assert len(dataset) > 50
    for data in dataset:
        sample = data['data_samples']
        annotation = annotations[sample.ann_id]
        truth = mask_utils.decode(annotation['segmentation']).max(axis=2)
        np.testing.assert_array_equal(sample.gt_sem_seg.data[0].numpy(), truth)
        file_name = images[annotation['image_id']]['file_name']
        assert os.path.basename(sample.img_path) == file_name
        assert re.search(r'[a-z]', sample.expression)
        assert data['inputs'].float().std() > 1  # there is something to see
