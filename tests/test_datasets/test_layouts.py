# SPDX-License-Identifier: Apache-2.0
"""RefSegRS and JSON lines, read from files written by hand."""

import json

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image
from pycocotools import mask as mask_utils

import mmcadformer  # noqa: F401  (registers)

PIPELINE = [
    dict(type='mmseg.WholeLoadImageFromFile'),
    dict(type='mmseg.ChooseExpression', mode='first'),
    dict(type='mmseg.Resize', scale=(32, 24), keep_ratio=False),
    dict(type='mmseg.LoadReferringMask'),
    dict(type='mmseg.PackReferringInputs'),
]


def build(fixture, kind, **kwargs):
    cfg = dict(type=kind, data_root=str(fixture.root), pipeline=PIPELINE)
    return DATASETS.build(dict(cfg, **kwargs))


def samples(fixture, kind, **kwargs):
    """Samples of all splits by ref_id and expression."""
    found = {}
    for split in ('train', 'val', 'test'):
        dataset = build(fixture, kind, split=split, test_mode=True, **kwargs)
        for data in dataset:
            sample = data['data_samples']
            assert data['inputs'].shape == (3, 24, 32)
            found[sample.ref_id, sample.expression] = sample
    return found


def same_mask(sample, truth):
    """Whether a sample's mask has exactly the pixels that pycocotools encodes."""
    mask = sample.gt_sem_seg.data[0].numpy().astype(np.uint8)
    rles = [mask_utils.encode(np.asfortranarray(m)) for m in (mask, truth)]
    return rles[0] == rles[1]


def test_refsegrs_mask_for_mask(segrs):
    segrs.write()
    found = samples(segrs, 'RefSegRSDataset')
    assert list(found) == [
        ('7', 'the road on the left'),
        ('7', 'a road'),
        ('12', 'all the cars'),
        ('a_1', 'buses in the car park'),
        ('b', 'low vegetation'),
    ]
    for (ref_id, _), sample in found.items():
        assert same_mask(sample, segrs.truths[ref_id])
        assert sample.ori_shape == (40, 56)
        assert sample.dataset_name == 'refsegrs'
    categories = [sample.category for sample in found.values()]
    assert categories == ['road', 'road', 'car', 'bus', 'low vegetation']


def test_refsegrs_trains_on_one_record_per_mask(segrs):
    segrs.write()
    dataset = build(segrs, 'RefSegRSDataset')
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [(r['ref_id'], r['expressions']) for r in records] == [
        ('7', ['the road on the left', 'a road']),
        ('12', ['all the cars']),
    ]
    assert records[0]['sent_ids'] == [1, 3]  # numbers of the lines


def test_refsegrs_with_other_folders_ending_and_threshold(segrs):
    segrs.write()
    for path in [*segrs.root.glob('*/*.tif')]:
        Image.open(path).save(path.with_suffix('.png'))
        path.unlink()
    (segrs.root / 'images').rename(segrs.root / 'pictures')
    dataset = build(
        segrs,
        'RefSegRSDataset',
        name='mine',
        suffix='.png',
        data_prefix=dict(img_path='pictures'),
        mask_threshold=50,
    )
    sample = dataset[1]['data_samples']
    assert sample.dataset_name == 'mine'
    assert same_mask(sample, segrs.truths['12'])
    # At 49, the background of this mask (50) would be target too.
    dataset = build(
        segrs,
        'RefSegRSDataset',
        suffix='.png',
        data_prefix=dict(img_path='pictures'),
        mask_threshold=49,
    )
    assert dataset[1]['data_samples'].gt_sem_seg.data.all()


REFSEGRS_DAMAGE = {
    'no expression': ('12', r'train\.txt, line 2: expected an id, a space'),
    'no file name': ('../x a road', r"train\.txt, line 2: '../x' can not be the name"),
    'not UTF-8': (b'12 a r\xffad', r'train\.txt, line 2: not UTF-8'),
}


@pytest.mark.parametrize('name', REFSEGRS_DAMAGE)
def test_refsegrs_damage_names_file_and_line(segrs, name):
    line, message = REFSEGRS_DAMAGE[name]
    segrs.write()
    path = segrs.root / 'output_phrase_train.txt'
    content = path.read_bytes().split(b'\n')
    content[1] = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(b'\n'.join(content))
    with pytest.raises(ValueError, match=message):
        build(segrs, 'RefSegRSDataset')
    excluded = segrs.root / 'leave-out.txt'
    excluded.write_text('train-line-2')
    assert len(build(segrs, 'RefSegRSDataset', exclude_file=str(excluded))) == 1


def test_refsegrs_without_a_file(segrs):
    segrs.write()
    (segrs.root / 'output_phrase_val.txt').unlink()
    assert build(segrs, 'RefSegRSDataset')
    with pytest.raises(FileNotFoundError, match='phrase_val.*\n.*each line: id, space'):
        build(segrs, 'RefSegRSDataset', split='val')
    (segrs.root / 'masks' / 'b.tif').unlink()
    with pytest.raises(FileNotFoundError, match=r'masks/b\.tif'):
        build(segrs, 'RefSegRSDataset', split='test')


def test_mask_file_of_another_size_or_empty(segrs):
    segrs.write()
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(segrs.root / 'masks' / '7.tif')
    Image.fromarray(np.full((40, 56), 50, np.uint8)).save(
        segrs.root / 'masks' / '12.tif'
    )
    dataset = build(segrs, 'RefSegRSDataset')
    with pytest.raises(ValueError, match=r"'7'.*7\.tif is 8 x 8 px.*40 x 56"):
        dataset[0]
    with pytest.raises(ValueError, match=r"'12'.*marks no pixel"):
        dataset[1]


def test_json_lines_mask_for_mask(lines):
    lines.write()
    found = samples(lines, 'ReferringJsonDataset')
    expected = ['line-1', 'line-2', 'line-2', 'line-3', 'line-4', 'four', 'line-6']
    assert [ref_id for ref_id, _ in found] == expected
    index = {'line-1': 0, 'line-2': 1, 'line-3': 2, 'line-4': 3, 'four': 4, 'line-6': 5}
    for (ref_id, _), sample in found.items():
        assert same_mask(sample, lines.truths[index[ref_id]])
        assert sample.dataset_name == 'mine'
        assert sample.category == 'ship'
    texts = [text for ref_id, text in found if ref_id == 'line-2']
    assert texts == ['the second ship', 'the ship below']


@pytest.mark.parametrize('mode', ['1', 'P', 'I;16', 'RGB', 'RGBA', 'LA'])
def test_mask_files_of_every_mode(lines, mode):
    lines.write()
    truth = lines.truths[0]
    path = lines.root / 'masks' / '0.png'
    if mode == 'I;16':
        mask = Image.fromarray(truth.astype(np.uint16))
    elif mode == 'P':
        mask = Image.fromarray(truth, 'P')
        mask.putpalette([0, 0, 0, 0, 0, 128])
    else:
        mask = Image.fromarray(255 * truth).convert(mode)
    mask.save(path)
    assert Image.open(path).mode == mode
    sample = build(lines, 'ReferringJsonDataset')[0]['data_samples']
    assert same_mask(sample, truth)


def test_json_keys_for_ids_and_folders(lines):
    lines.lines[1].update(
        id=17, image_id=3, object_id='x', sentence_ids=[5, 6], height=40, width=56
    )
    lines.lines[1]['attributes'] = dict(anything=[1])
    lines.write()
    (lines.root / 'other').mkdir()
    for folder in ('images', 'masks'):
        (lines.root / folder).rename(lines.root / 'other' / folder)
    (lines.root / 'annotations.jsonl').rename(lines.root / 'mine.jsonl')
    dataset = build(
        lines,
        'ReferringJsonDataset',
        ann_file='mine.jsonl',
        name='ships',
        data_prefix=dict(img_path='other', mask_path='other'),
    )
    record = dataset.get_data_info(1)
    ids = [record[key] for key in ('ref_id', 'image_id', 'ann_id', 'sent_ids')]
    assert ids == [17, 3, 'x', [5, 6]]
    assert same_mask(dataset[0]['data_samples'], lines.truths[0])


JSON_DAMAGE = {
    'no JSON': ('{"image": ', 'line 2: not valid JSON'),
    'no object': ('[]', 'line 2: expected an object'),
    'no image': (dict(image=...), "line 2 has no 'image'"),
    'no mask': (dict(mask=...), "line 2 has no 'mask'"),
    'no split': (dict(split=...), "line 2 has no 'split'"),
    'no expression': (dict(expressions=...), 'line 2 .*exactly one of'),
    'two kinds of expressions': (dict(expression='x'), 'line 2 .*exactly one of'),
    'no list': (dict(expressions='x'), "line 2 .*'expressions' must be a list"),
    'empty list': (dict(expressions=[]), 'line 2 .*has no expression'),
    'empty expression': (dict(expressions=['a', ' ']), 'line 2 .*expression 1 is'),
    'typing error': (dict(catgory='x'), r"line 2: unknown keys \['catgory'\]"),
    'category': (dict(category=3), 'line 2 .*category must be text'),
    'id': (dict(id=[1]), 'line 2: id must be a number or text'),
    'same id': (dict(id='line-1'), "ref_id 'line-1' is used by more than one"),
    'sentence ids': (dict(sentence_ids=[1]), 'line 2 .*one id for each'),
    'split': (dict(split=3), 'line 2: split must be text'),
    'size': (dict(height=40), 'line 2 .*height and width must be'),
    'another size': (dict(height=41, width=56), r'line 2 .*\[40, 56\].*\[41, 56\]'),
    'no mask of an object': (dict(mask=[[]]), 'line 2 .*"mask": null'),
    'mask': (dict(mask=3), 'line 2 .*list of polygons'),
    'mask path': (dict(mask=' '), 'line 2 .*path of a file'),
    'RLE size': (dict(mask=dict(size=3, counts='')), 'line 2 .*RLE size'),
}


@pytest.mark.parametrize('name', JSON_DAMAGE)
def test_json_damage_names_file_and_line(lines, name):
    change, message = JSON_DAMAGE[name]
    lines.write()
    path = lines.root / 'annotations.jsonl'
    content = path.read_text().split('\n')
    if isinstance(change, dict):
        entry = dict(json.loads(content[1]), **change)
        change = json.dumps({k: v for k, v in entry.items() if v is not ...})
    content[1] = change
    path.write_text('\n'.join(content))
    with pytest.raises(ValueError, match=rf'annotations\.jsonl(, |: ){message}'):
        build(lines, 'ReferringJsonDataset')


def test_undeclared_empty_masks_and_wrong_sizes_are_found_when_loaded(lines):
    lines.lines[1]['mask'] = [[2.1, 2.1, 2.2, 2.1, 2.2, 2.2]]  # between pixels
    lines.lines[0].update(height=20, width=20)
    lines.write()
    dataset = build(lines, 'ReferringJsonDataset')
    with pytest.raises(ValueError, match=r"0\.png is 40 x 56.*'line-1' say 20 x 20"):
        dataset[0]
    with pytest.raises(ValueError, match=r"1\.png, ref_id 'line-2'.*no pixel"):
        dataset[1]


@pytest.mark.parametrize('size', [0, 60, 300, -2])
@pytest.mark.parametrize('ending', ['jpg', 'png', 'tif'])
def test_images_that_are_cut_off(lines, ending, size):
    lines.write()
    path = lines.root / 'images' / f'0.{ending}'
    Image.open(lines.root / 'images' / '0.png').save(path)
    path.write_bytes(path.read_bytes()[:size])
    lines.lines[0]['image'] = f'images/0.{ending}'
    (lines.root / 'annotations.jsonl').write_text(json.dumps(lines.lines[0]))
    dataset = build(lines, 'ReferringJsonDataset')
    with pytest.raises(ValueError, match=rf"0\.{ending} \(ref_id 'line-1'\) is no"):
        dataset[0]


def test_jpeg_with_a_thumbnail_that_is_cut_off(lines):
    """The end of the thumbnail must not pass for the end of the image."""
    lines.write()
    path = lines.root / 'images' / '0.jpg'
    image = Image.open(lines.root / 'images' / '0.png')
    image.resize((16, 16)).save(path)
    thumbnail = path.read_bytes()
    image.save(path, comment=thumbnail)
    data = path.read_bytes()
    assert data.count(b'\xff\xd9') == 2
    lines.lines[0]['image'] = 'images/0.jpg'
    (lines.root / 'annotations.jsonl').write_text(json.dumps(lines.lines[0]))
    dataset = build(lines, 'ReferringJsonDataset')
    assert dataset[0]['inputs'].shape == (3, 24, 32)
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(ValueError, match=r'0\.jpg .*is cut off'):
        dataset[0]
