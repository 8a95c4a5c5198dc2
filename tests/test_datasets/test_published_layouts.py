# SPDX-License-Identifier: Apache-2.0
"""RISBench, Aerial-D, NWPU-Refer and gRefCOCO as published, written by hand."""

import json
import pickle

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image
from pycocotools import mask as mask_utils

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets.targets import kind_of

CHECK, CONVERT = 'analysis/check_dataset.py', 'dataset_converters/convert.py'


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def records(kind, root, split='train', **kwargs):
    cfg = dict(kwargs, type=kind, data_root=str(root), split=split)
    dataset = DATASETS.build(dict(cfg, serialize_data=False))
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def mask_of(record):
    load = TRANSFORMS.build(dict(type='LoadReferringMask'))
    return load(dict(record, ori_shape=(40, 56), seg_fields=[]))['gt_seg_map']


def image(path, mode='RGB', pixels=None):
    if pixels is None:
        rng = np.random.default_rng(len(path.name))
        pixels = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode).save(path)


RISBENCH = {
    'train_0_0': 'The left-most airplane',
    'train_2_0': 'the red storage tank',
    'train_2_3': 'a windmill  on the right ',
    'val_0_0': 'something else',
    'test_0_0': 'the ship',
}


@pytest.fixture(params=['published', 'beside', 'repack'])
def risbench(request, tmp_path, toy):
    """Root and masks of the published layout, of its text files inside, of a repack."""
    published = request.param != 'repack'
    base = tmp_path / 'RISBench_dataset' if published else tmp_path
    texts = dict(published=tmp_path, beside=base, repack=base / 'phrase_txts')
    texts = texts[request.param]
    texts.mkdir(parents=True, exist_ok=True)
    pictures, masks = ('img_rgb', 'mask') if published else ('images', 'masks')
    suffix = '.png' if published else ''
    truths = {}
    for name, text in RISBENCH.items():
        truths[name] = toy.truths[len(truths)]
        image(base / pictures / f'{name}.png')
        image(base / masks / f'{name}.png', 'L', 255 * truths[name])
        with open(texts / f'output_phrase_{name.split("_")[0]}.txt', 'a') as file:
            file.write(f'{name}{suffix} {text}\n')
    return tmp_path, truths


def test_risbench(risbench, call_tool):
    root, truths = risbench
    found = [
        record
        for split in ('train', 'val', 'test')
        for record in records('RISBenchDataset', root, split)
    ]
    assert [r['ref_id'] for r in found] == list(RISBENCH)
    assert [r['image_id'] for r in found[:3]] == ['train_0', 'train_2', 'train_2']
    texts = [text.strip() for text in RISBENCH.values()]
    assert [r['expressions'] for r in found] == [[text] for text in texts]
    names = ['airplane', 'storage tank', 'windmill', 'other', 'ship']
    assert [r['category'] for r in found] == names
    for record in found:
        np.testing.assert_array_equal(mask_of(record), truths[record['ref_id']])
    source = ('--layout', 'risbench', '--data-root', root, '--workers', 0)
    code, text = call_tool(CHECK, *source)
    assert '5 objects' in text and 'pictures of DOTA and DIOR' in text
    assert 'same pictures in rrsisd (DIOR) and aeriald (DOTA)' in text


def test_the_config_of_risbench_reads_it(risbench, repo_root):
    cfg = Config.fromfile(repo_root / 'configs/cadformer_swinb_risbench.py')
    dataset = cfg.val_dataloader.dataset
    dataset.data_root = str(risbench[0])
    sample = DATASETS.build(dataset)[0]
    assert sample['inputs'].shape == (3, 480, 480)
    assert sample['data_samples'].gt_sem_seg.data.shape == (1, 40, 56)


def test_risbench_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'phrase_train\.txt.*\n.*each line'):
        records('RISBenchDataset', tmp_path)


def rle(mask):
    found = mask_utils.encode(np.asfortranarray(mask))
    return repr(dict(size=found['size'], counts=found['counts'].decode()))


def element(tag, number, mask, expressions, **more):
    inner = ''.join(f'<{key}>{value}</{key}>' for key, value in more.items())
    texts = ''.join(
        f'<expression type="{kind}">{text}</expression>' for kind, text in expressions
    )
    return (
        f'<{tag}>{inner}<id>{number}</id><segmentation>{mask}</segmentation>'
        f'<expressions>{texts}</expressions></{tag}>'
    )


@pytest.fixture
def aeriald(tmp_path, toy):
    """Two patches; one group without instance_ids, one object without sentences."""
    root, masks = tmp_path / 'aeriald', [rle(truth) for truth in toy.truths]
    objects = [
        element('object', 1, masks[0], [('original', 'the ship')], name='ship'),
        element('object', 2, masks[1], [], name='Small_Vehicle'),
    ]
    both = [('original', 'both ships'), ('unique', 'the pair of ships')]
    group = dict(instance_ids='1,2', size=2, category='ship')
    groups = [
        element('group', 1000000, rle(toy.truths[:2].max(axis=0)), both, **group),
        element('group', 501000, masks[1], both[:1], size=1, category='Small_Vehicle'),
    ]
    patch = f'<annotation>{"".join(objects)}<groups>{"".join(groups)}</groups>'
    write = [('train', 'P0_patch_1', f'{patch}</annotation>')]
    write.append(('val', 'L0_patch_0', f'<annotation>{objects[0]}</annotation>'))
    for split, name, text in write:
        folder = root / split / 'annotations'
        folder.mkdir(parents=True)
        (folder / f'{name}.xml').write_text(text)
        image(root / split / 'images' / f'{name}.png')
    return root


def test_aeriald(aeriald, toy, call_tool):
    found = records('AerialDDataset', aeriald)
    assert [(r['ref_id'].split('/')[1], kind_of(r), r['category']) for r in found] == [
        ('1', 'one', 'ship'),
        ('1000000', 'several', 'ship'),
        ('501000', 'one', 'Small Vehicle'),
    ]
    assert found[1]['expressions'] == ['both ships', 'the pair of ships']
    truth = toy.truths[0] | toy.truths[1]
    np.testing.assert_array_equal(mask_of(found[1]), truth)
    unique = records('AerialDDataset', aeriald, expression_types=['unique'])
    assert [r['expressions'] for r in unique] == [['the pair of ships']]
    # converted once, and read by the config from then on
    source = ('--layout', 'aeriald', '--data-root', aeriald, '--to', 'json')
    code, text = call_tool(CONVERT, *source, '--out', aeriald, '--workers', 0)
    assert code == 0, text
    lines = records('ReferringJsonDataset', aeriald, name='aeriald')
    for ours, theirs in zip(found, lines, strict=True):
        np.testing.assert_array_equal(mask_of(ours), mask_of(theirs))
        for key in ('ref_id', 'ann_id', 'expressions', 'category', 'image_id'):
            assert ours[key] == theirs[key]
        assert kind_of(ours) == kind_of(theirs)
    code, text = call_tool(
        CHECK, '--layout', 'json', '--data-root', aeriald, '--workers', 0
    )
    assert code == 0 and 'licence of DOTA: academic use only' in text, text


def test_the_config_of_aeriald_reads_what_was_converted(aeriald, repo_root, call_tool):
    source = ('--layout', 'aeriald', '--data-root', aeriald, '--to', 'json')
    assert call_tool(CONVERT, *source, '--out', aeriald, '--workers', 0)[0] == 0
    cfg = Config.fromfile(repo_root / 'configs/cadformer_swinb_aeriald.py')
    for split, count in dict(train=3, val=1, test=1).items():
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = str(aeriald)
        assert len(DATASETS.build(dataset)) == count


AERIALD_DAMAGE = {
    'code in place of a mask': ('__import__("os").getcwd()', 'is no literal'),
    'no mask': ('', 'is no literal'),
    'another form': ('[1, 2]', 'expected an RLE'),
    'cut off': ("{'size': [40, 56], 'counts': 'PP'}", 'RLE counts'),
    'deep': ('(' * 9000, 'is no literal'),
}


@pytest.mark.parametrize('name', AERIALD_DAMAGE)
def test_aeriald_damage_names_file_and_object(aeriald, toy, name):
    mask, message = AERIALD_DAMAGE[name]
    path = aeriald / 'train' / 'annotations' / 'P0_patch_1.xml'
    path.write_text(path.read_text().replace(rle(toy.truths[0]), mask, 1))
    with pytest.raises(
        ValueError, match=rf'P0_patch_1\.xml: P0_patch_1/1: .*{message}'
    ):
        records('AerialDDataset', aeriald)
    left_out = aeriald / 'leave-out.txt'
    left_out.write_text('P0_patch_1/1')
    assert len(records('AerialDDataset', aeriald, exclude_file=str(left_out))) == 2


def test_aeriald_file_that_is_cut_off(aeriald):
    path = aeriald / 'train' / 'annotations' / 'P0_patch_1.xml'
    path.write_text(path.read_text()[:80])
    with pytest.raises(ValueError, match=r'P0_patch_1\.xml: not valid XML'):
        records('AerialDDataset', aeriald)


@pytest.mark.parametrize('inner', ['image', 'image/image'])
def test_nwpurefer(toy, tmp_path, inner, call_tool):
    """One object a reference; sentences shared, in Chinese, and of nothing."""
    root = tmp_path / 'nwpu'
    for i in (1, 2, 3):
        toy.annotations[i]['image_id'] = 7
        toy.refs[i].update(image_id=7, split='train')
    toy.refs[0]['sentences'] = [dict(raw='the two ships'), dict(raw='两艘船')]
    toy.refs[1]['sentences'] = [dict(raw='the two ships')]
    toy.refs[2].update(ann_id=None, sentences=[dict(raw='a plane')])
    toy.refs[3]['sentences'] = [dict(raw='a dam')]
    toy.annotations[3]['segmentation'] = []
    toy.write()
    (root / inner).parent.mkdir(parents=True)
    toy.image_dir.rename(root / inner)
    toy.refs_path.rename(root / 'new_refs(unc).p')
    toy.instances_path.rename(root / 'new_instances.json')
    found = {r['expressions'][0]: r for r in records('NWPUReferDataset', root)}
    kinds = {text: kind_of(record) for text, record in found.items()}
    assert kinds == {'the two ships': 'several', 'a plane': 'none', 'a dam': 'none'}
    union = toy.truths[0] | toy.truths[1]
    np.testing.assert_array_equal(mask_of(found['the two ships']), union)
    chinese = records('NWPUReferDataset', root, language='zh')
    assert [r['expressions'] for r in chinese] == [['两艘船']]
    source = ('--layout', 'nwpurefer', '--data-root', root, '--workers', 0)
    code, text = call_tool(CHECK, *source)
    assert code == 0, text
    assert 'no target, as it has ann_id None' in text
    assert 'no target, as it has an annotation without a mask' in text
    assert '1 expressions of kind several' in text


def test_grefcoco(toy):
    for ref in toy.refs:
        ref.update(ann_id=[ref['ann_id']], category_id=[ref['category_id']])
    toy.refs[1].update(ann_id=[-1], category_id=[-1], no_target=True)
    toy.write()
    (toy.root / 'toy').rename(toy.root / 'grefcoco')
    toy.image_dir.rename(toy.root / 'images' / 'train2014')
    path = toy.root / 'grefcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    path.unlink()
    path.with_name('grefs(unc).json').write_text(json.dumps(refs))
    found = records('GRefCOCODataset', toy.root)
    assert list(map(kind_of, found)) == ['one', 'none', 'one']
    assert [r['ref_id'] for r in records('GRefCOCODataset', toy.root, 'testA')] == [4]
