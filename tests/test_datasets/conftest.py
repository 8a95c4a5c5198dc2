# SPDX-License-Identifier: Apache-2.0
"""Small data sets on disk in every layout, and a way to call the tools."""

import json
import pickle
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as mask_utils

HEIGHT, WIDTH = 40, 56


def _truths():
    """Five masks on three images; the last consists of two overlapping parts."""
    truths = np.zeros((5, HEIGHT, WIDTH), np.uint8)
    truths[0, 4:12, 6:20] = 1
    truths[1, 20:38, 30:50] = 1
    truths[2, 0:5, :] = 1
    truths[3, 10:30, 10:40] = 1
    truths[4, 2:10, 2:10] = 1
    truths[4, 6:16, 6:20] = 1
    return truths


def _rle(mask):
    rle = mask_utils.encode(np.asfortranarray(mask))
    return dict(size=rle['size'], counts=rle['counts'].decode())


def _plain_rle(mask):
    counts, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return dict(size=list(mask.shape), counts=counts)


def _box(x0, y0, x1, y1):
    return [x0, y0, x1, y0, x1, y1, x0, y1]


class Fixture:
    """Content of a data set that tests may damage before :meth:`write`."""

    def __init__(self, root):
        self.root = root
        self.truths = _truths()
        segmentations = [
            [_rle(self.truths[0])],
            _rle(self.truths[1]),
            [_plain_rle(self.truths[2])],
            [_box(10, 10, 40, 30)],
            [_box(2, 2, 10, 10), _box(6, 6, 20, 16)],
        ]
        self.images = [
            dict(id=7 + i, file_name=f'{i}.png', height=HEIGHT, width=WIDTH)
            for i in range(3)
        ]
        self.annotations = [
            dict(id=100 + i, image_id=7 + i % 3, category_id=1 + i % 2, segmentation=s)
            for i, s in enumerate(segmentations)
        ]
        self.categories = [dict(id=1, name='ship'), dict(id=2, name='dam')]
        self.refs = [self._ref(i) for i in range(5)]

    def _ref(self, i):
        texts = [f'The ship {i} on the left', f'ship number {i}'][: 1 + i % 2]
        return dict(
            ref_id=i,
            ann_id=100 + i,
            image_id=7 + i % 3,
            category_id=1 + i % 2,
            split=('train', 'train', 'train', 'val', 'testA')[i],
            sent_ids=[10 * i + j for j in range(len(texts))],
            sentences=[
                dict(sent_id=10 * i + j, raw=text, sent=text.lower())
                for j, text in enumerate(texts)
            ],
        )

    @property
    def refs_path(self):
        return self.root / 'toy' / 'refs(unc).p'

    @property
    def instances_path(self):
        return self.root / 'toy' / 'instances.json'

    @property
    def image_dir(self):
        return self.root / 'images' / 'toy' / 'JPEGImages'

    def write(self):
        self.refs_path.parent.mkdir(parents=True, exist_ok=True)
        self.image_dir.mkdir(parents=True, exist_ok=True)
        self.refs_path.write_bytes(pickle.dumps(self.refs))
        content = dict(
            images=self.images,
            annotations=self.annotations,
            categories=self.categories,
        )
        self.instances_path.write_text(json.dumps(content))
        rng = np.random.default_rng(0)
        for i in range(3):
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            cv2.imwrite(str(self.image_dir / f'{i}.png'), image)
        return self.root


@pytest.fixture
def toy(tmp_path):
    return Fixture(tmp_path)


class SegRSFixture:
    """RefSegRS's layout: four ids, one of them with two expressions."""

    def __init__(self, root):
        self.root = root
        self.truths = dict(zip('7 12 a_1 b'.split(), _truths()[:4], strict=True))
        self.lines = dict(
            train=['7 the road on the left', '12 all the cars ', '7 a road'],
            val=['a_1 buses in the car park'],
            test=['b low vegetation'],
        )
        # The target is what is above 50, however bright.
        self.levels = {'7': (0, 255), '12': (50, 51), 'a_1': (10, 128), 'b': (49, 200)}

    def write(self):
        for folder in ('images', 'masks'):
            (self.root / folder).mkdir(parents=True)
        rng = np.random.default_rng(0)
        for name, truth in self.truths.items():
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Image.fromarray(image).save(self.root / 'images' / f'{name}.tif')
            mask = np.where(truth, *self.levels[name][::-1]).astype(np.uint8)
            Image.fromarray(mask).save(self.root / 'masks' / f'{name}.tif')
        for split, lines in self.lines.items():
            path = self.root / f'output_phrase_{split}.txt'
            path.write_text('\n'.join(lines) + '\n')
        return self.root


class JsonFixture:
    """JSON lines with masks of every form; the last line names nothing."""

    def __init__(self, root):
        self.root = root
        self.truths = np.concatenate(
            [_truths(), np.zeros((1, HEIGHT, WIDTH), np.uint8)]
        )
        masks = [
            'masks/0.png',
            _rle(self.truths[1]),
            [_plain_rle(self.truths[2])],
            [_box(10, 10, 40, 30)],
            [_box(2, 2, 10, 10), _box(6, 6, 20, 16)],
            None,
        ]
        splits = ['train', 'train', 'val', 'val', 'test', 'test']
        self.lines = [
            dict(
                image=f'images/{i % 3}.png',
                expression=f'the ship number {i}',
                mask=mask,
                split=split,
                category='ship',
            )
            for i, (mask, split) in enumerate(zip(masks, splits, strict=True))
        ]
        self.lines[1]['expressions'] = ['the second ship', 'the ship below']
        del self.lines[1]['expression']
        self.lines[4]['id'] = 'four'

    def write(self):
        for folder in ('images', 'masks'):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for i in range(3):
            image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            Image.fromarray(image).save(self.root / 'images' / f'{i}.png')
        Image.fromarray(self.truths[0]).save(self.root / 'masks' / '0.png')
        text = '\n'.join(json.dumps(line) for line in self.lines)
        (self.root / 'annotations.jsonl').write_text(text + '\n')
        return self.root


@pytest.fixture
def segrs(tmp_path):
    return SegRSFixture(tmp_path / 'segrs')


@pytest.fixture
def lines(tmp_path):
    return JsonFixture(tmp_path / 'mine')


@pytest.fixture
def call_tool(monkeypatch, capsys):
    """Runs a tool in this process: exit code, and what it printed."""

    def call(tool, *args):
        path = Path(__file__).parents[2] / 'tools' / tool
        monkeypatch.setattr(sys, 'argv', [str(path), *map(str, args)])
        code = 0
        try:
            # Tools set MMEngine's default scope, which other tests must not see.
            with DefaultScope.overwrite_default_scope('mmseg'):
                runpy.run_path(str(path), run_name='__main__')
        except SystemExit as exit_:
            code = exit_.code
        captured = capsys.readouterr()
        text = captured.out + captured.err
        return (code, text) if isinstance(code, int) else (1, f'{text}{code}')

    return call
