# SPDX-License-Identifier: Apache-2.0
"""Hundreds of ways to damage a data set: each is reported, or does no harm.

Every corruption changes one thing in files on disk. Left out are those that
nobody could notice, since the result is a data set as good as the first: another
word in a sentence, another valid category, a corner of a polygon moved a little.
"""

import copy
import json
import logging
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from mmcadformer.datasets.inspection import check_dataset

COUNT = 250
PIPELINE = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='first'),
    dict(type='LoadReferringMask'),
]
SPLITS = ('train', 'val', 'test')
CONFIGS = dict(
    refcoco=dict(type='ReferringSegDataset', name='toy'),
    json=dict(type='ReferringJsonDataset'),
    refsegrs=dict(type='RefSegRSDataset'),
)
DELETED = object()
WRONG = (DELETED, None, '', [], {}, -500, float('nan'), 1e9, 'x?', True)


def places(node, path=()):
    """Paths to everything in a tree of lists and dicts."""
    if path:
        yield path
    if isinstance(node, (dict, list)):
        keys = node if isinstance(node, dict) else range(len(node))
        for key in list(keys):
            yield from places(node[key], (*path, key))


def changed(tree, path, value):
    """Copy of a tree with one thing replaced or removed."""
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        node = node[key]
    if value is DELETED:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return tree


def noticeable(path, value):
    """Whether a change can be told from an intact data set."""
    key, above = path[-1], path[-2:-1]
    in_polygon = len(path) > 2 and path[-3] in ('segmentation', 'mask')
    in_polygon = in_polygon and isinstance(path[-2], int) and isinstance(key, int)
    if value is DELETED and isinstance(key, int):
        # One entry less is as good; half a corner, or one run, isn't. Without
        # its first run of 0 pixels, an RLE is the negative of the mask.
        return in_polygon or above == ('size',) or (above == ('counts',) and key > 0)
    if value == 'x?':
        words = ('raw', 'expression', 'category', 'name')
        return key not in words and above != ('expressions',)
    if value is True:
        return not in_polygon
    # A mask of null says that there is no target.
    return not (value is None and key == 'mask')


def trees(kind, root):
    """Annotation files as trees, with a function that writes each back."""
    if kind == 'refcoco':
        refs, instances = root / 'toy' / 'refs(unc).p', root / 'toy' / 'instances.json'
        return {
            refs: (pickle.loads(refs.read_bytes()), pickle.dumps),
            instances: (json.loads(instances.read_text()), as_json),
        }
    if kind == 'json':
        path = root / 'annotations.jsonl'
        lines = path.read_text().splitlines()
        return {path: ([json.loads(line) for line in lines], as_json_lines)}
    return {}


def as_json(tree):
    return json.dumps(tree).encode()


def as_json_lines(tree):
    return '\n'.join(json.dumps(entry) for entry in tree).encode()


def annotation_corruptions(kind, root):
    for path, (tree, dump) in trees(kind, root).items():
        for place in places(tree):
            for value in WRONG:
                if noticeable(place, value):
                    name = f'{path.name}: {place} -> {value!r}'
                    yield name, path, dump(changed(tree, place, value))
        for i, entry in enumerate(tree if isinstance(tree, list) else ()):
            yield f'{path.name}: entry {i} twice', path, dump([*tree, entry])
        for key in ('images', 'annotations') if isinstance(tree, dict) else ():
            for i, entry in enumerate(tree[key]):
                twice = dict(tree, **{key: [*tree[key], entry]})
                yield f'{path.name}: {key} {i} twice', path, dump(twice)


def text_corruptions(root):
    for path in sorted(root.glob('output_phrase_*.txt')):
        lines = path.read_bytes().split(b'\n')
        for i, line in enumerate(lines[:-1]):
            name = line.split()[0]
            for damaged in (
                name,
                name + b'   ',
                b'nothing' + line,
                line[:-1] + b'\xff',
                b'/' + line,
                line[len(name) :],
            ):
                new = b'\n'.join([*lines[:i], damaged, *lines[i + 1 :]])
                yield f'{path.name}, line {i}: {damaged!r}', path, new


def file_corruptions(root):
    for path in sorted(p for p in root.rglob('*') if p.is_file()):
        data = path.read_bytes()
        name = path.relative_to(root)
        if path.suffix == '.txt':
            continue  # cut between two lines, they are as good as before
        yield f'{name} removed', path, None
        for part in (0, 0.3, 0.6, 0.9, 0.99):
            cut = data[: int(part * len(data))]
            yield f'{name} cut to {part}', path, cut
        yield f'{name} is HTML', path, b'<html>404 not found</html>'
        yield f'{name} has zeros', path, b'\0' * 40 + data[40:]
        if path.suffix in ('.png', '.tif'):
            yield f'{name} of another size', path, small_image(path.suffix)


def small_image(ending):
    import cv2

    image = np.zeros((8, 9, 3), np.uint8)
    image[2:5, 2:5] = 255
    return cv2.imencode(ending, image)[1].tobytes()


def write_intact(toy, lines, segrs):
    """Three data sets on disk; their roots by layout."""
    for i, ref in enumerate(toy.refs):
        # Objects 0 and 3 in one split, so that they can be confused.
        ref['split'] = ('train', 'train', 'val', 'train', 'test')[i]
        for sentence in ref['sentences']:
            sentence['sent'] = sentence['raw']
    for annotation in toy.annotations:
        annotation.update(bbox=[0, 0, 1, 1], area=1)
    toy.refs_path.parent.parent.mkdir(exist_ok=True)
    return dict(refcoco=toy.write(), json=lines.write(), refsegrs=segrs.write())


def ambiguities(root):
    """The same expression for two objects of one image."""
    path = root / 'toy' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    refs[3]['sentences'][0]['raw'] = refs[0]['sentences'][0]['raw'].upper() + '.'
    yield 'ambiguous', path, pickle.dumps(refs)


def all_corruptions(roots):
    """Layout, name, file and new content of every corruption; a fair sample."""
    found = []
    for kind, root in roots.items():
        for group in (
            annotation_corruptions(kind, root),
            text_corruptions(root),
            file_corruptions(root),
            ambiguities(root) if kind == 'refcoco' else (),
        ):
            group = [(kind, *corruption) for corruption in group]
            # As many of the rare sorts as of the frequent ones.
            random.Random(0).shuffle(group)
            found.append(group[: COUNT // 5])
    return [corruption for group in found for corruption in group]


def load(kind, root, exclude_file=None):
    """What training and testing would get, with errors and warnings."""
    content, complaints = {}, []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    failed = False
    for split in SPLITS:
        try:
            dataset = DATASETS.build(
                dict(
                    CONFIGS[kind],
                    data_root=str(root),
                    split=split,
                    test_mode=True,
                    pipeline=PIPELINE,
                    exclude_file=exclude_file,
                    serialize_data=False,  # which collects garbage, for long
                )
            )
        except Exception as error:
            failed = True
            complaints.append(error)
            continue
        for i in range(len(dataset)):
            try:
                sample = dataset[i]
            except Exception as error:
                failed = True
                complaints.append(error)
                continue
            key = (split, Path(sample['img_path']).name, sample['expression'])
            content[key] = sample['gt_seg_map'].tobytes()
    logger.removeHandler(handler)
    return content, complaints, failed


@pytest.fixture(scope='module', autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def names_file_and_entry(complaint, root, path):
    text = str(complaint)
    of_file = isinstance(complaint, FileNotFoundError) or any(
        words in text
        for words in (
            'not valid JSON',
            'readable pickle',
            'must be a list',
            "has no 'images'",
            "has no 'annotations'",
            'expected a dict',
            'expected a list',
            'no entry of the split',
        )
    )
    names_entry = any(
        word in text
        for word in ('ref_id', 'entry ', ' line ', 'annotations[', 'images[')
    )
    return str(root) in text and (names_entry or of_file)


def test_every_corruption_is_reported_or_harmless(toy, lines, segrs, tmp_path):
    roots = write_intact(toy, lines, segrs)
    corruptions = all_corruptions(roots)
    assert len({(kind, name) for kind, name, _, _ in corruptions}) >= 200
    intact = {}
    for kind, root in roots.items():
        intact[kind], complaints, failed = load(kind, root)
        assert not complaints and not failed, kind
    outcomes = dict(reported=0, harmless=0)
    problems = []
    for kind, name, path, content in corruptions:
        root = roots[kind]
        original = path.read_bytes()
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        try:
            problem, outcome = examine(kind, root, path, intact[kind], tmp_path)
        finally:
            path.write_bytes(original)
        outcomes[outcome] += 1
        if problem:
            problems.append(f'{kind}, {name}: {problem}')
    assert not problems, '\n'.join(problems)
    assert outcomes['reported'] > 150, outcomes


def examine(kind, root, path, intact, tmp_path):
    """What is wrong with the reports on a corruption, if anything."""
    content, complaints, failed = load(kind, root)
    config = dict(CONFIGS[kind], data_root=str(root), lazy_init=True)
    report = check_dataset(DATASETS.build(config), progress=False)
    outcome = 'harmless' if content == intact and not failed else 'reported'
    whole_split = [c for c in complaints if 'no entry of the split' in str(c)]
    if failed and not report.errors and not whole_split:
        return f'the dataset fails ({complaints[0]}), the check does not', outcome
    if report.errors and not failed:
        return f'the check finds {report.errors[0]}, the dataset nothing', outcome
    if outcome == 'reported' and not complaints:
        return 'other content, and no word of it', outcome
    if outcome == 'reported' and not report.findings:
        return f'the dataset says {complaints[0]}, the check nothing', outcome
    for complaint in complaints:
        if not names_file_and_entry(complaint, root, path):
            return f'names no file or entry: {complaint!r}', outcome
    if not any(error.kind == 'file' for error in report.errors):
        fix_list = tmp_path / 'fix.json'
        report.write_fix_list(fix_list)
        for complaint in load(kind, root, str(fix_list))[1]:
            nothing_left = 'left out by' in str(complaint) or 'no entry of' in str(
                complaint
            )
            if isinstance(complaint, Exception) and not nothing_left:
                return f'not fixed by the list: {complaint}', outcome
    return None, outcome
