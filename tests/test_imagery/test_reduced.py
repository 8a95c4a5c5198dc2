# SPDX-License-Identifier: Apache-2.0
"""JPEGs that are decoded at a smaller size: in training pipelines that ask for it."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmcadformer.imagery import read_picture, turn
from mmcadformer.utils.config import inference_pipeline

BOX = (310, 205, 700, 690)  # x0, y0, x1, y1


@pytest.fixture(scope='module')
def scene():
    """RGB uint8 (803, 1021, 3), with a white box where the target is."""
    rng = np.random.default_rng(0)
    areas = rng.integers(0, 200, (26, 32, 3), dtype=np.uint8)
    scene = cv2.resize(areas, (1021, 803))
    x0, y0, x1, y1 = BOX
    scene[y0:y1, x0:x1] = 255
    return scene


@pytest.fixture
def jpeg(scene, tmp_path):
    path = tmp_path / 'scene.jpg'
    Image.fromarray(scene).save(path, quality=95)
    return path


def build(steps):
    return Compose([TRANSFORMS.build(step) for step in steps])


def record(path, **more):
    """What a data set hands to the pipeline."""
    x0, y0, x1, y1 = BOX
    return dict(
        img_path=str(path),
        height=803,
        width=1021,
        segmentation=[[x0, y0, x1, y0, x1, y1, x0, y1]],
        expressions=['the white box'],
        sent_ids=[0],
        seg_fields=[],
        **more,
    )


def pipeline(repo_root, split, **reading):
    """A pipeline of the package's configs, with another way to read."""
    cfg = Config.fromfile(repo_root / 'configs/_base_/datasets/referring.py')
    steps = cfg[f'{split}_pipeline']
    steps[0].update(reading)
    return steps


@pytest.mark.parametrize(
    'wanted, divisor',
    [
        ((511, 401), 1),  # 803 has two halves of 401
        ((510, 401), 2),
        ((480, 480), 1),
        ((255, 200), 4),
        ((2, 101), 4),
        ((127, 100), 8),
        ((1, 1), 8),
        ((4000, 3), 1),
    ],
)
def test_no_more_is_decoded_than_is_wanted(scene, jpeg, wanted, divisor):
    found = read_picture(jpeg, reduce_to=wanted)
    height, width = -(-803 // divisor), -(-1021 // divisor)
    assert found.rgb.shape == (height, width, 3)
    assert found.full_size == (None if divisor == 1 else (803, 1021))
    expected = cv2.resize(scene, (width, height), interpolation=cv2.INTER_AREA)
    # At an eighth the two average colours over other pixels.
    assert np.abs(expected.astype(int) - found.rgb).mean() < (5 if divisor == 8 else 3)


def test_what_is_no_plain_jpeg_comes_whole(scene, jpeg, tmp_path):
    png, gray = tmp_path / 'scene.png', tmp_path / 'gray.jpg'
    Image.fromarray(scene).save(png)
    Image.fromarray(scene).convert('L').save(gray)
    wanted = dict(reduce_to=(100, 100))
    for path, options in ((png, {}), (jpeg, dict(value_range=(0, 255)))):
        found = read_picture(path, **wanted, **options)
        assert np.array_equal(found.rgb, read_picture(path, **options).rgb)
        assert found.full_size is None
    assert read_picture(gray, **wanted).rgb.shape == (101, 128, 3)


@pytest.mark.parametrize('tag', range(1, 9))
def test_the_wanted_size_is_that_of_the_turned_picture(scene, tmp_path, tag):
    exif = Image.Exif()
    exif[274] = tag
    path = tmp_path / 'turned.jpg'
    Image.fromarray(scene).save(path, exif=exif)
    stored = read_picture(path, reduce_to=(510, 401)).rgb
    assert stored.shape == (402, 511, 3)
    wanted = (510, 401) if tag < 5 else (401, 510)
    shown = read_picture(path, reduce_to=wanted, orientation='applied')
    assert np.array_equal(shown.rgb, turn(stored, tag))
    assert shown.full_size == ((803, 1021) if tag < 5 else (1021, 803))


def test_training_sees_nearly_the_same_picture_and_mask(repo_root, jpeg):
    whole, small = (
        build(pipeline(repo_root, 'train', **reading))(record(jpeg))
        for reading in ({}, dict(reduce_to=(480, 400)))
    )
    pictures = [item['inputs'].int() for item in (whole, small)]
    assert pictures[0].shape == pictures[1].shape == (3, 480, 480)
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[0] - pictures[1]).abs().float().mean() < 3
    masks = [item['data_samples'].gt_sem_seg.data == 1 for item in (whole, small)]
    assert masks[0].shape == masks[1].shape == (1, 480, 480)
    assert (masks[0] & masks[1]).sum() > 0.985 * (masks[0] | masks[1]).sum()
    for item in (whole, small):
        assert item['data_samples'].ori_shape == (803, 1021)
        assert item['data_samples'].img_shape == (480, 480)


def test_what_crops_and_turns_sees_picture_and_mask_alike(repo_root, jpeg):
    load, choose, mask, _, pack = pipeline(repo_root, 'train', reduce_to=(200, 200))
    moves = [
        dict(type='RandomReferringCrop', prob=1),
        dict(type='RandomReferringFlip', prob=1),
        dict(type='RandomReferringRotate90', prob=1),
    ]
    run = build([load, choose, mask, *moves, pack])
    np.random.seed(0)
    for _ in range(20):
        item = run(record(jpeg))
        white = item['inputs'].min(dim=0).values > 225
        target = item['data_samples'].gt_sem_seg.data[0] == 1
        assert white.shape == target.shape
        assert (white & target).sum() > 0.97 * (white | target).sum()


def test_the_truth_of_a_test_keeps_its_size(repo_root, jpeg):
    run = build(pipeline(repo_root, 'test', reduce_to=(100, 100)))
    sample = run(record(jpeg))['data_samples']
    assert sample.gt_sem_seg.shape == sample.ori_shape == (803, 1021)
    x0, y0, x1, y1 = BOX
    assert sample.gt_sem_seg.data.sum() == (x1 - x0) * (y1 - y0)


def test_results_are_of_the_whole_picture(repo_root):
    steps = pipeline(repo_root, 'test', reduce_to=(100, 100))
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=steps))))
    assert 'reduce_to' not in inference_pipeline(cfg)[0]


@pytest.mark.parametrize('wrong', [(480,), (0, 480), (480, 480, 3)])
def test_a_size_that_is_none_is_refused(repo_root, wrong):
    with pytest.raises(ValueError, match='reduce_to must be width and height'):
        build(pipeline(repo_root, 'train', reduce_to=wrong))
