# SPDX-License-Identifier: Apache-2.0
"""SynthRS on disk."""

import hashlib
import runpy
import sys
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import pytest

from mmcadformer.synthrs import (
    CATEGORIES,
    Difficulty,
    generate_synthrs,
)

ROOT = Path(__file__).parents[2]
SPARSE = Difficulty(
    main=(2, 2),
    others=(1, 1),
    other_categories=1,
    size=(0.15, 0.2),
    clutter=(0, 0),
    complexity=1,
    weights=dict(category=1, position=1, size=0, color=0, relation=0, combination=0),
)


def digests(root):
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).digest()
        for p in sorted(Path(root).rglob('*'))
        if p.is_file()
    }


# sparse scenes repeat one-word expressions, which pickle may store as one object
@pytest.mark.parametrize('difficulty', ['hard', SPARSE], ids=['hard', 'sparse'])
def test_same_arguments_give_the_same_bytes(tmp_path, difficulty):
    options = dict(difficulty=difficulty, image_size=96, progress=False)
    for name, seed, workers in (('a', 7, 0), ('b', 7, 2), ('c', 8, 0)):
        options.update(seed=seed, num_workers=workers)
        generate_synthrs(tmp_path / name, dict(train=15, test=5), **options)
    first, second, other = (digests(tmp_path / name) for name in 'abc')
    assert len(first) == 20 + 3 and first == second
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_layout(easy, read):
    instances, refs, record = read(easy)
    assert [c['name'] for c in instances['categories']] == list(CATEGORIES)
    anns = {a['id']: a for a in instances['annotations']}
    images = {i['id']: i for i in instances['images']}
    sent_ids = [i for ref in refs for i in ref['sent_ids']]
    for ids in ([r['ref_id'] for r in refs], [r['ann_id'] for r in refs], sent_ids):
        assert len(set(ids)) == len(ids)
    assert {str(i) for i in sent_ids} == set(record['sentences'])
    for ref in refs:
        ann = anns[ref['ann_id']]
        assert ref['image_id'] == ann['image_id']
        assert ref['category_id'] == ann['category_id']
        assert ref['sent_ids'] == [s['sent_id'] for s in ref['sentences']]
        for sentence in ref['sentences']:
            assert sentence['raw'] == sentence['sent']
            assert ' '.join(sentence['tokens']) == sentence['sent']
    forms = Counter(type(a['segmentation'][0]) for a in anns.values())
    assert min(forms[list], forms[dict]) > 0.3 * len(anns)
    folder = easy / 'images' / 'synthrs' / 'JPEGImages'
    assert {p.name for p in folder.iterdir()} == {
        i['file_name'] for i in images.values()
    }
    picture = cv2.imread(str(folder / images[1]['file_name']))
    assert picture.shape == (images[1]['height'], images[1]['width'], 3)


def test_splits_share_no_scene(easy, read):
    instances, refs, _ = read(easy)
    folder = easy / 'images' / 'synthrs' / 'JPEGImages'
    split_of = {}
    for ref in refs:
        assert split_of.setdefault(ref['image_id'], ref['split']) == ref['split']
    assert set(split_of.values()) == {'train', 'val', 'test'}
    pictures = {(folder / i['file_name']).read_bytes() for i in instances['images']}
    assert len(pictures) == len(instances['images'])
    objects = defaultdict(set)
    for ann in instances['annotations']:
        objects[split_of[ann['image_id']]].add(tuple(ann['attributes']['centroid']))
    assert objects['train'].isdisjoint(objects['test'] | objects['val'])


def test_a_split_does_not_depend_on_the_others(easy, tmp_path):
    generate_synthrs(tmp_path, dict(test=3), progress=False)
    for number in range(3):
        name = f'images/synthrs/JPEGImages/synthrs_test_{number:06d}.jpg'
        assert (tmp_path / name).read_bytes() == (easy / name).read_bytes()


def test_finished_dataset_is_left_alone(tmp_path, read):
    counts = dict(train=2)
    generate_synthrs(tmp_path, counts, progress=False)
    record = tmp_path / 'synthrs' / 'synthrs.json'
    before = record.stat().st_mtime_ns
    generate_synthrs(tmp_path, counts, progress=False)
    assert record.stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match='other arguments'):
        generate_synthrs(tmp_path, counts, seed=1, progress=False)
    assert record.stat().st_mtime_ns == before
    generate_synthrs(tmp_path, counts, seed=1, progress=False, overwrite=True)
    assert read(tmp_path)[2]['arguments']['seed'] == 1


def test_lost_files_and_interrupted_runs_are_made_again(tmp_path):
    counts = dict(train=3)
    generate_synthrs(tmp_path, counts, progress=False)
    whole = digests(tmp_path)
    (tmp_path / 'images/synthrs/JPEGImages/synthrs_train_000001.jpg').unlink()
    generate_synthrs(tmp_path, counts, progress=False)
    assert digests(tmp_path) == whole
    # what an interrupted run leaves
    (tmp_path / 'synthrs' / 'synthrs.json').unlink()
    (tmp_path / 'synthrs' / 'incomplete.json').write_text('{}')
    generate_synthrs(tmp_path, counts, progress=False)
    assert digests(tmp_path) == whole


@pytest.mark.parametrize('folder', ['synthrs', 'images/synthrs'])
@pytest.mark.parametrize('overwrite', [False, True])
def test_foreign_files_are_never_deleted(tmp_path, folder, overwrite):
    precious = tmp_path / folder / 'thesis.txt'
    precious.parent.mkdir(parents=True)
    precious.write_text('years of work')
    with pytest.raises(FileExistsError, match='not made by'):
        generate_synthrs(tmp_path, dict(train=1), progress=False, overwrite=overwrite)
    assert precious.read_text() == 'years of work'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(difficulty='brutal'), 'brutal.*easy'),
        (dict(num_scenes=dict(testA=3)), 'testA'),
        (dict(num_scenes=dict(train=-3)), 'train.*-3'),
        (dict(image_size=12), 'image_size is 12'),
        (dict(image_size=128.5), 'image_size is 128.5'),
        (dict(seed=-1), 'seed is -1'),
        (dict(max_refs=0), 'max_refs is 0'),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_synthrs(tmp_path / 'out', progress=False, **arguments)
    assert not (tmp_path / 'out').exists()


def test_own_difficulty(tmp_path, read):
    for _ in range(2):  # the second call finds the same arguments
        generate_synthrs(tmp_path, dict(train=12), difficulty=SPARSE, progress=False)
    instances, _, record = read(tmp_path)
    assert len(instances['annotations']) == 36
    kinds = {said['type'] for said in record['sentences'].values()}
    assert kinds == {'category', 'position'}


def test_command(tmp_path, monkeypatch, capsys, read):
    def run(*options):
        script = str(ROOT / 'tools' / 'dataset_converters' / 'synthrs.py')
        sizes = '--train 2 --val 1 --test 1 --image-size 96 --difficulty normal'
        arguments = [script, str(tmp_path / 'cli'), *sizes.split(), *options]
        monkeypatch.setattr(sys, 'argv', arguments)
        runpy.run_path(script, run_name='__main__')

    run('--seed', '4', '--workers', '2')
    assert '4/4' in capsys.readouterr().out  # the progress bar
    generate_synthrs(
        tmp_path / 'library',
        dict(train=2, val=1, test=1),
        image_size=96,
        seed=4,
        difficulty='normal',
        progress=False,
    )
    assert digests(tmp_path / 'cli') == digests(tmp_path / 'library')
    with pytest.raises(SystemExit, match='other arguments.*--overwrite'):
        run('--seed', '5')
    run('--seed', '5', '--overwrite')
    assert read(tmp_path / 'cli')[2]['arguments']['seed'] == 5
