# SPDX-License-Identifier: Apache-2.0
"""Splits as in the paper's Table I."""

from collections import Counter

import numpy as np
import pytest

from mmcadformer.annotation.splits import (
    SPLITS,
    count_table,
    format_table,
    split_items,
    split_sizes,
    stratified_split,
)
from mmcadformer.datasets.formats import BoxItem

# Train, validation, test: Table I of the paper.
TABLE = {
    'baseball field': (420, 53, 52),
    'basketball field': (190, 24, 24),
    'ground track field': (170, 22, 21),
    'roundabout': (524, 66, 66),
    'swimming pool': (152, 19, 19),
    'storage tank': (170, 22, 21),
    'tennis court': (492, 62, 61),
}


def test_one_object_per_image_gives_the_paper_s_table():
    groups = {
        f'{category} {number}': [category]
        for category, sizes in TABLE.items()
        for number in range(sum(sizes))
    }
    splits = stratified_split(groups, seed=3)
    counts = Counter((groups[name][0], split) for name, split in splits.items())
    for category, sizes in TABLE.items():
        assert tuple(counts[category, split] for split in SPLITS) == sizes
    other = stratified_split(groups, seed=4)
    assert other != splits and stratified_split(groups, seed=3) == splits


def test_images_with_several_objects_stay_whole_and_come_close():
    rng = np.random.default_rng(0)
    names = list(TABLE)
    shares = np.array([sum(sizes) for sizes in TABLE.values()]) / 2650
    groups = {
        str(number): rng.choice(names, rng.integers(1, 6), p=shares).tolist()
        for number in range(900)
    }
    splits = stratified_split(groups)
    assert splits.keys() == groups.keys()
    counts = Counter(
        (category, split) for name, split in splits.items() for category in groups[name]
    )
    for category in names:
        total = sum(counts[category, split] for split in SPLITS)
        for split, size in split_sizes(total).items():
            assert abs(counts[category, split] - size) <= 3


@pytest.mark.parametrize('count', range(12))
def test_sizes_add_up(count):
    sizes = split_sizes(count)
    assert sum(sizes.values()) == count and min(sizes.values()) >= 0
    everything = dict(train=1.0, val=0.0, test=0.0)
    assert split_sizes(count, everything)['train'] == count


def test_bad_ratios():
    with pytest.raises(ValueError, match='must sum to 1'):
        split_sizes(10, dict(train=0.8, val=0.1, test=0.2))
    with pytest.raises(ValueError, match='must be given for'):
        split_sizes(10, dict(train=0.8, val=0.2))


def make_items(*entries):
    return [
        BoxItem(f'item {k}', image, (0, 0, 1, 1), 'tank', ('x',), split)
        for k, (image, split) in enumerate(entries)
    ]


def test_copies_of_an_image_are_one_image():
    items = make_items(*((f'{k}.png', None) for k in range(30)))
    contents = {f'{k}.png': str(k // 3) for k in range(30)}
    splits = split_items(items, contents)
    for start in range(0, 30, 3):
        assert len({splits[f'item {k}'] for k in range(start, start + 3)}) == 1
    assert set(splits.values()) == set(SPLITS)


def test_splits_of_the_source():
    items = make_items(('a', 'train'), ('b', 'testA'))
    splits = split_items(items, dict(a='1', b='2'), 'source')
    assert splits == {'item 0': 'train', 'item 1': 'testA'}
    with pytest.raises(ValueError, match="'b' .* in the splits test and train"):
        items = make_items(('b', 'train'), ('a', 'test'))
        split_items(items, dict(a='1', b='1'), 'source')
    shared = split_items(items, dict(a='1', b='1'), 'source', shared_images=True)
    assert shared == {'item 0': 'train', 'item 1': 'test'}
    with pytest.raises(ValueError, match='into the split None'):
        split_items(make_items(('a', None)), dict(a='1'), 'source')


def test_table():
    table = count_table(
        (category, split)
        for category, sizes in TABLE.items()
        for split, size in zip(SPLITS, sizes, strict=True)
        for _ in range(size)
    )
    assert table['total'] == dict(train=2118, val=268, test=264, total=2650)
    assert table['roundabout'] == dict(train=524, val=66, test=66, total=656)
    lines = format_table(table).splitlines()
    assert lines[0].split() == '| category | train | val | test | total |'.split()
    assert lines[-1].split() == '| total | 2118 | 268 | 264 | 2650 |'.split()
    assert len({len(line) for line in lines}) == 1
