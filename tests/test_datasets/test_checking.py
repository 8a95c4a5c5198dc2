# SPDX-License-Identifier: Apache-2.0
"""tools/analysis/check_dataset.py on data sets that are damaged on purpose."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

import mmcadformer  # noqa: F401  (registers)

TOOL = 'analysis/check_dataset.py'
BETWEEN_PIXELS = [3.1, 3.1, 3.2, 3.1, 3.2, 3.2]


def refcoco(fixture, *args):
    where = ('--layout', 'refcoco', '--data-root', fixture.root, '--name', 'toy')
    return (TOOL, *where, '--workers', 0, '--quiet', *args)


def json_lines(fixture, *args):
    where = ('--layout', 'json', '--data-root', fixture.root)
    return (TOOL, *where, '--workers', 0, '--quiet', *args)


def findings(call_tool, arguments, tmp_path):
    """Findings by kind, and the exit code."""
    path = tmp_path / 'reports' / 'report.json'
    code, _ = call_tool(*arguments, '--json', path)
    found = {}
    for finding in json.loads(path.read_text())['findings']:
        found.setdefault(finding['kind'], []).append(finding)
    return found, code


def test_intact_data_sets_pass(toy, lines, segrs, call_tool, tmp_path):
    # Other images in the test split than in training, as it should be.
    for i, ref in enumerate(toy.refs):
        ref['split'] = ('train', 'val', 'test')[i % 3]
    for line in lines.lines:
        line['split'] = {'0': 'train', '1': 'val', '2': 'test'}[line['image'][-5]]
    toy.write(), lines.write(), segrs.write()
    for arguments in (
        refcoco(toy, '--strict'),
        json_lines(lines, '--strict'),
        (TOOL, '--layout', 'refsegrs', '--data-root', segrs.root, '--strict'),
    ):
        code, text = call_tool(*arguments)
        assert code == 0, text
        assert '0 errors, 0 warnings' in text
    assert '4 objects, 5 expressions, 4 images' in text


def test_processes_find_what_one_finds(toy, call_tool, tmp_path):
    for ref in toy.refs:
        ref['split'] = 'train'
    toy.annotations[2]['segmentation'] = [BETWEEN_PIXELS]
    toy.write()
    (toy.image_dir / '1.png').write_bytes(b'no image')
    alone = findings(call_tool, refcoco(toy), tmp_path)
    assert findings(call_tool, refcoco(toy, '--workers', 2), tmp_path) == alone
    assert set(alone[0]) == {'image', 'mask'}


def test_progress_is_shown(toy, call_tool):
    toy.write()
    code, text = call_tool(*[a for a in refcoco(toy) if a != '--quiet'])
    assert '3/3' in text


def test_leakage_is_found_by_content(toy, call_tool, tmp_path):
    for i, ref in enumerate(toy.refs):
        ref['split'] = ('train', 'val', 'test')[i % 3]
    toy.write()
    image = Image.open(toy.image_dir / '2.png')
    # Another file with the same pixels.
    image.save(toy.image_dir / '0.png', compress_level=1, optimize=False)
    data = (toy.image_dir / '0.png').read_bytes()
    assert data != (toy.image_dir / '2.png').read_bytes()
    found, code = findings(call_tool, refcoco(toy), tmp_path)
    assert code == 0  # a warning
    assert set(found) == {'leakage'}
    assert [f['ref_id'] for f in found['leakage']] == [0, 3]  # the test split keeps it
    assert "split 'train') is the same image" in found['leakage'][0]['message']
    assert "2.png of the split 'test'" in found['leakage'][0]['message']
    assert findings(call_tool, refcoco(toy, '--strict'), tmp_path)[1] == 1
    assert findings(call_tool, refcoco(toy, '--no-images'), tmp_path)[0] == {}


def test_ambiguity_is_found_across_copies_of_an_image(segrs, call_tool, tmp_path):
    segrs.lines['val'] = ['a_1 A  road.']
    segrs.lines['train'].append('12 low vegetation')
    segrs.write()
    for name in ('a_1', 'b'):
        shutil.copy(segrs.root / 'images' / '7.tif', segrs.root / f'images/{name}.tif')
    arguments = (TOOL, '--layout', 'refsegrs', '--data-root', segrs.root)
    found, code = findings(call_tool, (*arguments, '--workers', 0), tmp_path)
    assert code == 0
    assert {f['ref_id'] for f in found['ambiguous']} == {'7', 'a_1'}
    assert {f['ref_id'] for f in found['leakage']} == {'7', 'a_1'}
    # With the same mask, it is one object listed twice.
    shutil.copy(segrs.root / 'masks' / '7.tif', segrs.root / 'masks' / 'a_1.tif')
    found, _ = findings(call_tool, (*arguments, '--workers', 0), tmp_path)
    assert 'ambiguous' not in found
    assert [f['ref_id'] for f in found['repeated']] == ['a_1']


def misstate_size(toy):
    toy.images[0]['height'] = 50
    for i in (0, 3):
        toy.annotations[i]['segmentation'] = [[1, 1, 9, 1, 9, 9]]


def say_the_same(toy):
    toy.refs[0]['sentences'][0]['raw'] = 'Ship'
    toy.refs[3]['sentences'][0]['raw'] = ' ship.'


KINDS = {
    'id': (lambda t: t.refs.append(dict(t.refs[1])), 'id', [1], 1),
    'dangling annotation': (lambda t: t.refs[3].update(ann_id=9), 'id', [3], 1),
    'dangling image': (lambda t: t.refs[4].update(image_id=1), 'id', [4], 1),
    'malformed': (lambda t: t.refs[2].pop('sentences'), 'entry', [2], 1),
    'no dict': (lambda t: t.refs.append('x'), 'entry', ['entry-5'], 1),
    'split': (lambda t: t.refs[0].update(split=3), 'split', [0], 1),
    'unknown split': (lambda t: t.refs[2].update(split='x'), 'unknown-split', [2], 0),
    'expression': (
        lambda t: t.refs[0]['sentences'][0].update(raw=' '),
        'expression',
        [0],
        1,
    ),
    'broken RLE': (
        lambda t: t.annotations[1]['segmentation'].update(counts='01'),
        'mask',
        [1],
        1,
    ),
    'RLE of another size': (
        lambda t: t.annotations[0]['segmentation'][0].update(size=[9, 9]),
        'mask',
        [0],
        1,
    ),
    'empty mask': (
        lambda t: t.annotations[2].update(
            segmentation=[[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]]
        ),
        'mask',
        [2],
        1,
    ),
    'polygon outside': (
        lambda t: t.annotations[3].update(segmentation=[[10, 10, 70, 10, 70, 30]]),
        'outside',
        [3],
        0,
    ),
    'wrong size': (
        misstate_size,
        'image',
        [0, 3],
        1,
    ),
    'category': (lambda t: t.categories.pop(), 'category', [1, 3], 0),
    'ambiguous': (
        say_the_same,
        'ambiguous',
        [0, 3],
        0,
    ),
    'unused annotation without image': (
        lambda t: t.annotations.append(dict(id=1000, image_id=55)),
        'unused',
        [None],
        0,
    ),
    'unused id twice': (
        lambda t: t.annotations.extend([dict(id=1000, image_id=7)] * 2),
        'unused',
        [None],
        0,
    ),
}


@pytest.mark.parametrize('name', KINDS)
def test_kinds(toy, call_tool, tmp_path, name):
    damage, kind, ids, expected = KINDS[name]
    for i, ref in enumerate(toy.refs):
        ref['split'] = ('train', 'val', 'test')[i % 3]
    damage(toy)
    toy.write()
    found, code = findings(call_tool, refcoco(toy), tmp_path)
    if kind == 'id':
        found.pop('repeated', None)  # an entry twice is an object twice as well
    assert {k: [f['ref_id'] for f in v] for k, v in found.items()} == {kind: ids}
    assert str(toy.root) in found[kind][0]['message']
    assert code == expected
    assert findings(call_tool, refcoco(toy, '--strict'), tmp_path)[1] == 1


def test_files_that_cannot_be_read(toy, call_tool, tmp_path):
    toy.write()
    toy.instances_path.write_text('{"images": [')
    found, code = findings(call_tool, refcoco(toy), tmp_path)
    assert code == 1 and list(found) == ['file']
    assert 'instances.json: not valid JSON' in found['file'][0]['message']
    toy.instances_path.unlink()
    found, code = findings(call_tool, refcoco(toy), tmp_path)
    assert code == 1 and 'does not exist' in found['file'][0]['message']


def test_malicious_pickle_is_reported_and_does_not_run(toy, call_tool, tmp_path):
    target = tmp_path / 'made'

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(target),)

    toy.write()
    toy.refs_path.write_bytes(pickle.dumps([*toy.refs, Evil()]))
    found, code = findings(call_tool, refcoco(toy), tmp_path)
    assert code == 1 and 'mkdir' in found['file'][0]['message']
    assert not target.exists()


@pytest.mark.parametrize('ending', ['txt', 'json'])
def test_fix_list_makes_a_data_set_usable(toy, call_tool, tmp_path, ending):
    toy.refs[1]['ann_id'] = 9
    toy.refs.append('x')
    toy.write()
    (toy.image_dir / '2.png').write_bytes(b'')
    fix_list = tmp_path / f'leave-out.{ending}'
    code, text = call_tool(*refcoco(toy, '--fix-list', fix_list))
    assert code == 1 and f'3 ids to leave out are in {fix_list}' in text
    pipeline = [dict(type='mmseg.WholeLoadImageFromFile')]
    config = dict(type='ReferringSegDataset', data_root=str(toy.root), name='toy')
    dataset = DATASETS.build(
        dict(config, pipeline=pipeline, exclude_file=str(fix_list))
    )
    assert [sample['ref_id'] for sample in dataset] == [0]
    code, text = call_tool(*refcoco(toy, '--exclude-file', fix_list))
    assert code == 0 and '0 errors' in text
    # A new list keeps what the old one left out.
    again = tmp_path / f'again.{ending}'
    call_tool(*refcoco(toy, '--exclude-file', fix_list, '--fix-list', again))
    words = [set(path.read_text().split()) for path in (fix_list, again)]
    assert {'1', '2', 'entry-5'} <= {w.strip('",') for w in words[1]}


def test_ids_that_no_line_can_hold(lines, call_tool, tmp_path):
    lines.lines[0].update(id='#1', mask=[[]])
    lines.write()
    code, text = call_tool(*json_lines(lines, '--fix-list', tmp_path / 'ids.txt'))
    assert code == 2 and "'#1' can not be a line of text" in text
    assert '.json' in text and not (tmp_path / 'ids.txt').exists()
    call_tool(*json_lines(lines, '--fix-list', tmp_path / 'ids.json'))
    assert json.loads((tmp_path / 'ids.json').read_text()) == ['#1']


def test_config_with_two_data_sets(toy, lines, call_tool, tmp_path):
    toy.refs[0]['ann_id'] = 9
    toy.write(), lines.write()
    (lines.root / 'images' / '1.png').unlink()
    (tmp_path / 'leave-out.txt').write_text('0')
    parts = [
        dict(type='ReferringSegDataset', data_root=str(toy.root), name='toy'),
        dict(type='ReferringJsonDataset', data_root=str(lines.root)),
    ]
    config = Config(
        dict(
            train_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=parts)),
            val_dataloader=dict(dataset=dict(parts[0], split='val', pipeline=[])),
        )
    )
    config.dump(tmp_path / 'config.py')
    arguments = (TOOL, tmp_path / 'config.py', '--quiet', '--workers', 0)
    code, text = call_tool(
        *arguments, '--json', tmp_path / 'r.json', '--fix-list', tmp_path / 'f.txt'
    )
    assert code == 1
    reports = [
        json.loads((tmp_path / f'r.{n}.json').read_text()) for n in ('toy', 'mine')
    ]
    assert [report['num_errors'] for report in reports] == [1, 2]
    assert (tmp_path / 'f.toy.txt').read_text().split()[0] == '0'
    first = {
        line.split()[0] for line in (tmp_path / 'f.mine.txt').read_text().splitlines()
    }
    assert first == {'line-2', 'four'}
    option = (
        f'train_dataloader.dataset.datasets.0.exclude_file={tmp_path}/leave-out.txt'
    )
    code, text = call_tool(*arguments, '--cfg-options', option)
    assert 'toy: 4 objects' in text


def test_wrong_command_lines(toy, call_tool, tmp_path):
    for arguments, message in (
        ((), 'either a config, or --layout'),
        (('--layout', 'json'), 'needs --data-root'),
        (('--layout', 'refcoco', '--data-root', 'x'), 'refcoco needs'),
        ((tmp_path / 'no.py',), 'does not exist'),
    ):
        code, text = call_tool(TOOL, *arguments)
        assert code == 2 and message in text


def test_mask_of_one_grey_value_in_a_mask_file(segrs, call_tool, tmp_path):
    segrs.write()
    Image.fromarray(np.full((40, 56), 50, np.uint8)).save(segrs.root / 'masks/12.tif')
    (segrs.root / 'masks' / 'b.tif').unlink()
    arguments = (TOOL, '--layout', 'refsegrs', '--data-root', segrs.root)
    found, code = findings(call_tool, (*arguments, '--workers', 0), tmp_path)
    assert code == 1
    assert [f['ref_id'] for f in found['mask']] == ['b', '12']
    assert 'b.tif does not exist' in found['mask'][0]['message']
    found, _ = findings(call_tool, (*arguments, '--no-images'), tmp_path)
    assert [f['ref_id'] for f in found['mask']] == ['b']
