# SPDX-License-Identifier: Apache-2.0
"""Conversion between the layouts: the same masks, sentences and splits."""

import json
import os
import pickle
import re

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

import mmcadformer  # noqa: F401  (registers)

TOOL = 'dataset_converters/convert.py'
PIPELINE = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='first'),
    dict(type='LoadReferringMask'),
]
SPLITS = ('train', 'val', 'test', 'testA')


@pytest.fixture(scope='module', autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def content(kind, root, **kwargs):
    """Pixels, mask, sentence and split of everything, without ids."""
    found = []
    for split in SPLITS:
        config = dict(type=kind, data_root=str(root), pipeline=PIPELINE, **kwargs)
        config['serialize_data'] = False  # which collects garbage, for long
        try:
            dataset = DATASETS.build(dict(config, split=split, test_mode=True))
        except (FileNotFoundError, ValueError):
            continue  # not all have this split
        found += [
            (
                sample['split'],
                sample['expression'],
                sample['img'].tobytes(),
                sample['gt_seg_map'].tobytes(),
            )
            for sample in dataset
            if sample['split'] == split
        ]
    return sorted(found)


def records(kind, root, **kwargs):
    """Everything that is known about objects, but for files."""
    found = {}
    for split in SPLITS:
        try:
            dataset = DATASETS.build(
                dict(
                    type=kind,
                    data_root=str(root),
                    split=split,
                    serialize_data=False,
                    **kwargs,
                )
            )
        except (FileNotFoundError, ValueError):
            continue
        for i in range(len(dataset)):
            record = dataset.get_data_info(i)
            found[record['ref_id']] = {
                key: record[key]
                for key in ('image_id', 'ann_id', 'category', 'split', 'sent_ids')
            }
    return found


def convert(call_tool, *args):
    code, text = call_tool(TOOL, *args, '--workers', 0, '--quiet')
    assert code == 0, text


def test_refcoco_to_json_and_back(toy, call_tool, tmp_path):
    # Two references to one object.
    toy.refs.append(
        dict(toy.refs[1], ref_id=77, sentences=[dict(sent_id=5, raw='B')], split='val')
    )
    toy.write()
    first = content('ReferringSegDataset', toy.root, name='toy')
    assert len(first) == 8
    source = ('--layout', 'refcoco', '--data-root', toy.root, '--name', 'toy')
    convert(call_tool, *source, '--to', 'json', '--out', tmp_path / 'lines')
    assert content('ReferringJsonDataset', tmp_path / 'lines') == first
    assert not (tmp_path / 'lines' / 'images').exists()
    source = ('--layout', 'json', '--data-root', tmp_path / 'lines')
    target = ('--to', 'refcoco', '--out', tmp_path / 'back', '--out-name', 'toy')
    target = (*target, '--images-below', toy.root)
    convert(call_tool, *source, *target)
    assert content('ReferringSegDataset', tmp_path / 'back', name='toy') == first
    ids = records('ReferringSegDataset', toy.root, name='toy')
    assert records('ReferringSegDataset', tmp_path / 'back', name='toy') == ids
    # Polygons stay polygons, and the two references share an object again.
    instances = json.loads((tmp_path / 'back/toy/instances.json').read_text())
    assert len(instances['annotations']) == 5
    polygons = {a['id']: a['segmentation'] for a in instances['annotations']}
    assert polygons[104] == toy.annotations[4]['segmentation']
    files = sorted(p.name for p in (tmp_path / 'back/images/toy/JPEGImages').iterdir())
    assert files == ['0.png', '1.png', '2.png']
    # And once more, to the byte.
    source = ('--layout', 'refcoco', '--data-root', tmp_path / 'back', '--name', 'toy')
    convert(call_tool, *source, '--to', 'json', '--out', tmp_path / 'again')
    lines = [
        [json.loads(line) for line in (tmp_path / d / 'annotations.jsonl').open()]
        for d in ('lines', 'again')
    ]
    for line in (*lines[0], *lines[1]):
        del line['image']
    assert lines[0] == lines[1]


def test_what_peers_read_in_a_written_refcoco_folder(segrs, call_tool, tmp_path):
    """Lists of RLE that pycocotools decodes, unique sentence ids, boxes, areas."""
    from pycocotools.coco import COCO

    segrs.write()
    source = ('--layout', 'refsegrs', '--data-root', segrs.root)
    target = ('--to', 'refcoco', '--out', tmp_path, '--out-name', 'new')
    convert(call_tool, *source, *target)
    coco = COCO(str(tmp_path / 'new' / 'instances.json'))
    refs = pickle.loads((tmp_path / 'new' / 'refs(unc).p').read_bytes())
    categories = {'7': 'road', '12': 'car', 'a_1': 'bus', 'b': 'low vegetation'}
    sent_ids = [sent_id for ref in refs for sent_id in ref['sent_ids']]
    assert len(set(sent_ids)) == len(sent_ids) == 5
    for ref in refs:
        annotation = coco.anns[ref['ann_id']]
        name = ref.get('original_id', str(ref['ref_id']))
        truth = segrs.truths[name]
        assert isinstance(annotation['segmentation'], list)
        np.testing.assert_array_equal(coco.annToMask(dict_rle(annotation)), truth)
        ys, xs = np.nonzero(truth)
        box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        assert annotation['bbox'] == box
        assert annotation['area'] == truth.sum()
        assert coco.cats[ref['category_id']]['name'] == categories[name]
        for sentence in ref['sentences']:
            assert sentence['tokens'] == sentence['sent'].split()
            assert sentence['sent'] == sentence['raw'].lower()


def dict_rle(annotation):
    """COCO's own class takes one RLE, the readers of RefCOCO a list."""
    return dict(annotation, segmentation=annotation['segmentation'][0])


def test_refcoco_to_refsegrs_and_back(toy, call_tool, tmp_path):
    toy.write()
    first = content('ReferringSegDataset', toy.root, name='toy')
    source = ('--layout', 'refcoco', '--data-root', toy.root, '--name', 'toy')
    convert(call_tool, *source, '--to', 'refsegrs', '--out', tmp_path / 'segrs')
    assert content('RefSegRSDataset', tmp_path / 'segrs') == first
    values = {
        int(value)
        for path in (tmp_path / 'segrs' / 'masks').iterdir()
        for value in np.unique(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    }
    assert values == {0, 255}
    source = ('--layout', 'refsegrs', '--data-root', tmp_path / 'segrs')
    target = ('--to', 'refcoco', '--out', tmp_path / 'back', '--out-name', 'toy')
    convert(call_tool, *source, *target)
    assert content('ReferringSegDataset', tmp_path / 'back', name='toy') == first


def test_refsegrs_to_json_and_back(segrs, call_tool, tmp_path):
    segrs.write()
    first = content('RefSegRSDataset', segrs.root)
    source = ('--layout', 'refsegrs', '--data-root', segrs.root)
    convert(call_tool, *source, '--to', 'json', '--out', tmp_path / 'lines')
    assert content('ReferringJsonDataset', tmp_path / 'lines') == first
    source = ('--layout', 'json', '--data-root', tmp_path / 'lines')
    convert(
        call_tool,
        *source,
        '--images-below',
        segrs.root,
        '--to',
        'refsegrs',
        '--out',
        tmp_path / 'back',
    )
    assert content('RefSegRSDataset', tmp_path / 'back') == first
    # Ids that can be names of files stay, and TIFFs are copied as they are.
    for folder in ('images', 'masks'):
        there = sorted(p.name for p in (tmp_path / 'back' / folder).iterdir())
        assert there == ['12.tif', '7.tif', 'a_1.tif', 'b.tif']
    for path in (segrs.root / 'images').iterdir():
        assert (tmp_path / 'back/images' / path.name).read_bytes() == path.read_bytes()


def test_json_to_json_keeps_empty_targets(lines, call_tool, tmp_path):
    lines.write()
    source = ('--layout', 'json', '--data-root', lines.root, '--to', 'json')
    convert(call_tool, *source, '--out', tmp_path / 'new', '--out-file', 'a.jsonl')
    new = content('ReferringJsonDataset', tmp_path / 'new', ann_file='a.jsonl')
    assert new == content('ReferringJsonDataset', lines.root)
    last = json.loads((tmp_path / 'new' / 'a.jsonl').read_text().splitlines()[-1])
    assert last['mask'] is None


@pytest.mark.parametrize('mode', ['copy', 'hardlink', 'symlink'])
@pytest.mark.parametrize('layout', ['json', 'refcoco'])
def test_images_in_folders_are_copied_or_linked(
    lines, call_tool, tmp_path, mode, layout
):
    del lines.lines[5]  # no target
    lines.write()
    (lines.root / 'images' / 'sub').mkdir()
    (lines.root / 'images' / '1.png').rename(lines.root / 'images' / 'sub' / '0.png')
    path = lines.root / 'annotations.jsonl'
    path.write_text(path.read_text().replace('images/1.png', 'images/sub/0.png'))
    source = ('--layout', 'json', '--data-root', lines.root)
    target = ('--to', layout, '--out', tmp_path / 'new', '--images', mode)
    name = ('--out-name', 'toy') if layout == 'refcoco' else ()
    convert(call_tool, *source, *target, *name)
    first = content('ReferringJsonDataset', lines.root)
    if layout == 'json':
        assert content('ReferringJsonDataset', tmp_path / 'new') == first
        image = tmp_path / 'new' / 'images' / 'sub' / '0.png'
    else:
        new = content('ReferringSegDataset', tmp_path / 'new', name='toy')
        assert new == first
        image = tmp_path / 'new' / 'images' / 'toy' / 'JPEGImages' / 'sub' / '0.png'
    original = lines.root / 'images' / 'sub' / '0.png'
    assert image.is_symlink() == (mode == 'symlink')
    assert image.samefile(original) == (mode != 'copy')


def test_exclude_file_leaves_damage_out(toy, call_tool, tmp_path):
    toy.refs[1]['ann_id'] = 9
    toy.write()
    source = ('--layout', 'refcoco', '--data-root', toy.root, '--name', 'toy')
    target = ('--to', 'json', '--out', tmp_path / 'new', '--quiet')
    code, text = call_tool(TOOL, *source, *target)
    assert code == 1 and 'ref_id 1 refers to annotation id 9' in text
    assert 'check_dataset.py' in text
    assert not (tmp_path / 'new').exists()
    (tmp_path / 'out.txt').write_text('1')
    convert(call_tool, *source, *target, '--exclude-file', tmp_path / 'out.txt')
    assert len((tmp_path / 'new/annotations.jsonl').read_text().splitlines()) == 4


REFUSED = {
    'no target': (lambda f: None, 'refsegrs', 'json and refcoco can'),
    'line break': (
        lambda f: f.lines[0].update(expression='a\nb'),
        'refsegrs',
        'line break',
    ),
    'split': (lambda f: f.lines[0].update(split='train/x'), 'refsegrs', 'part of'),
    'object': (
        lambda f: [f.lines[i].update(object_id=1) for i in (0, 1)],
        'refcoco',
        'ann_id 1 .*something else too',
    ),
    'image': (
        lambda f: [f.lines[i].update(image_id=1) for i in (0, 1)],
        'refcoco',
        'image_id 1 .*something else too',
    ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_a_layout_cannot_say_is_refused(lines, call_tool, tmp_path, name):
    change, layout, message = REFUSED[name]
    change(lines)
    if not name.startswith('no target'):
        del lines.lines[5]
    lines.write()
    source = ('--layout', 'json', '--data-root', lines.root, '--to', layout)
    out = tmp_path / 'new'
    code, text = call_tool(TOOL, *source, '--out', out, '--out-name', 'x', '--quiet')
    assert code == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(text)
    assert not out.exists()


def test_ids_of_two_splits_and_existing_data_are_refused(segrs, call_tool, tmp_path):
    segrs.lines['val'] = ['7 a road']
    segrs.write()
    source = ('--layout', 'refsegrs', '--data-root', segrs.root, '--to', 'json')
    code, text = call_tool(TOOL, *source, '--out', tmp_path / 'new', '--quiet')
    assert code == 1 and "'7' is used in the splits" in text
    (segrs.root / 'output_phrase_val.txt').unlink()
    convert(call_tool, *source, '--out', tmp_path / 'new')
    code, text = call_tool(TOOL, *source, '--out', tmp_path / 'new', '--quiet')
    assert code == 1 and 'is there already' in text


def test_refs_to_json(toy, call_tool):
    toy.write()
    tool = 'dataset_converters/refs_to_json.py'
    code, text = call_tool(tool, toy.refs_path)
    assert code == 0 and '5 references' in text
    written = json.loads((toy.root / 'toy' / 'refs.json').read_text())
    assert written == json.loads(json.dumps(toy.refs))
    first = content('ReferringSegDataset', toy.root, name='toy')
    toy.refs_path.unlink()
    assert content('ReferringSegDataset', toy.root, name='toy') == first
    code, text = call_tool(tool, toy.refs_path)
    assert code == 1 and 'refs(unc).p' in text


def test_refs_to_json_writes_nothing_for_a_damaged_pickle(toy, call_tool):
    toy.write()
    toy.refs_path.write_bytes(toy.refs_path.read_bytes()[:40])
    code, text = call_tool('dataset_converters/refs_to_json.py', toy.refs_path)
    assert code == 1 and 'not a readable pickle' in text
    toy.refs_path.write_bytes(pickle.dumps([dict(ref_id=b'bytes')]))
    code, text = call_tool('dataset_converters/refs_to_json.py', toy.refs_path)
    assert code == 1 and 'bytes is not JSON serializable' in text
    assert sorted(p.name for p in (toy.root / 'toy').iterdir()) == [
        'instances.json',
        'refs(unc).p',
    ]


def image_names(toy, name):
    """Lets the data set name another file as its first image."""
    toy.images[0]['file_name'] = str(name)
    toy.write()


@pytest.mark.parametrize('kind', ['absolute', 'dots', 'link', 'folder link'])
@pytest.mark.parametrize('to', ['json', 'refcoco', 'refsegrs'])
def test_files_from_outside_are_not_copied(toy, call_tool, tmp_path, kind, to):
    toy.write()
    images = toy.root / 'images/toy/JPEGImages'
    (tmp_path / 'private').mkdir()
    secret = tmp_path / 'private/secret.png'
    name = toy.images[0]['file_name']
    secret.write_bytes((images / name).read_bytes())
    if kind == 'absolute':
        name = secret
    elif kind == 'dots':
        name = '../' * (len(images.parts) - len(tmp_path.parts)) + 'private/secret.png'
    elif kind == 'link':
        name = 'link.png'
        (images / name).symlink_to(secret)
    else:
        name = 'below/secret.png'
        (images / 'below').symlink_to(secret.parent)
    image_names(toy, name)
    source = ('--layout', 'refcoco', '--data-root', toy.root, '--name', 'toy')
    target = ('--to', to, '--out', tmp_path / 'new')
    target += ('--out-name', 'x') if to == 'refcoco' else ()
    target += ('--images', 'copy') if to == 'json' else ()
    code, text = call_tool(TOOL, *source, *target, '--workers', 0, '--quiet')
    assert code == 1 and 'lies outside of' in text and '--images-below' in text
    assert not any((tmp_path / 'new').rglob('*.*'))
    convert(call_tool, *source, *target, '--images-below', secret.parent)


def test_folders_that_are_links_themselves_are_the_users(toy, call_tool, tmp_path):
    toy.write()
    images = toy.root / 'images/toy/JPEGImages'
    (tmp_path / 'store').mkdir()
    images.rename(tmp_path / 'store/pictures')
    images.symlink_to(tmp_path / 'store/pictures')
    source = ('--layout', 'refcoco', '--data-root', toy.root, '--name', 'toy')
    convert(
        call_tool,
        *source,
        '--to',
        'refcoco',
        '--out',
        tmp_path / 'n',
        '--out-name',
        'x',
    )


@pytest.mark.parametrize(
    'name, said',
    [
        ('http://127.0.0.1/a.png', 'http'),
        ('/dev/zero', r'/dev/zero .*outside|not a file'),
        ('pipe.png', 'pipe.png'),
        ('notes.txt', 'not a picture by its name'),
    ],
)
def test_only_pictures_are_copied(toy, call_tool, tmp_path, name, said):
    toy.write()
    images = toy.root / 'images/toy/JPEGImages'
    os.mkfifo(images / 'pipe.png')
    (images / 'notes.txt').write_text('secret')
    image_names(toy, name)
    source = ('--layout', 'refcoco', '--data-root', toy.root, '--name', 'toy')
    target = ('--to', 'refcoco', '--out', tmp_path / 'new', '--out-name', 'x')
    code, text = call_tool(TOOL, *source, *target, '--workers', 0, '--quiet')
    assert code == 1 and re.search(said, text), text
    assert not (tmp_path / 'new').exists()
