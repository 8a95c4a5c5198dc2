# SPDX-License-Identifier: Apache-2.0
"""Expressions on one image share it, and still give what each gives alone."""

import shutil

import cv2
import numpy as np
import pytest

from mmcadformer.apis import ReferringInferencer

SENTENCES = [
    'the pool',
    'the large red tennis court on the left',
    'it',
    'the second storage tank from the top, next to the road',
]


@pytest.fixture(scope='module')
def images(tiny_data):
    return sorted((tiny_data / 'images/synthrs/JPEGImages').glob('*test*'))


@pytest.fixture(scope='module')
def inferencer(tiny_config, tiny_checkpoint):
    return ReferringInferencer(tiny_config, tiny_checkpoint, device='cpu')


@pytest.fixture
def batches(inferencer):
    """Numbers of images in the first stage, and of maps in the second, per batch."""
    backbone = inferencer.model.backbone
    seen = []

    def first(module, args):
        seen.append([args[0].shape[0]])

    def second(module, args):
        seen[-1 if len(seen[-1]) == 1 else -2].append(args[0].shape[0])

    handles = [
        backbone.patch_embed.register_forward_pre_hook(first),
        backbone.stages[1].blocks[0].register_forward_pre_hook(second),
    ]
    yield seen
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize('at_once', [1, 3, 8])
def test_results_are_the_single_ones(inferencer, images, monkeypatch, at_once):
    single = [inferencer(images[0], sentence)[0] for sentence in SENTENCES]
    monkeypatch.setattr(inferencer, 'expression_batch_size', at_once)
    together = inferencer(images[0], SENTENCES)
    assert [result.expression for result in together] == SENTENCES
    for found, expected in zip(together, single, strict=True):
        assert np.abs(found.probability - expected.probability).max() < 1e-5
        assert found.image_path == str(images[0])
    assert np.ptp([result.probability.mean() for result in together]) > 0


def test_the_first_stage_runs_once_per_batch(inferencer, images, monkeypatch, batches):
    monkeypatch.setattr(inferencer, 'expression_batch_size', 3)
    inferencer(images[0], SENTENCES)
    assert batches == [[1, 3], [1, 1]]


def test_cpus_take_large_images_in_small_groups(inferencer, images, monkeypatch):
    pixels = inferencer.model.cfg.image_size[0] ** 2
    monkeypatch.setattr('mmcadformer.apis.inferencer._CPU_PIXELS', 3 * pixels)
    backbone = inferencer.model.backbone
    seen = {'first': [], 'second': []}
    handles = [
        module.register_forward_pre_hook(
            lambda module, args, name=name: seen[name].append(args[0].shape[0])
        )
        for name, module in (
            ('first', backbone.patch_embed),
            ('second', backbone.stages[1].blocks[0]),
        )
    ]
    inferencer(images[0], SENTENCES)
    for handle in handles:
        handle.remove()
    assert seen == {'first': [1], 'second': [3, 1]}


def test_images_and_expressions_may_alternate(inferencer, images, batches):
    a, b = images[:2]
    pairs = [(a, 'pool'), (a, 'road'), (b, 'pool'), (a, 'tank'), (a, 'it'), (b, 'it')]
    results = inferencer(pairs)
    assert batches == [[1, 2], [1, 1], [1, 2], [1, 1]]
    for result, (image, expression) in zip(results, pairs, strict=True):
        assert (result.image_path, result.expression) == (str(image), expression)
        (alone,) = inferencer(image, expression)
        assert np.abs(result.probability - alone.probability).max() < 1e-5


def test_different_images_still_share_batches(inferencer, images, monkeypatch, batches):
    monkeypatch.setattr(inferencer, 'batch_size', 2)
    inferencer([(images[0], 'pool'), (images[1], 'pool'), (images[1], 'road')])
    assert batches == [[2, 2], [1, 1]]


def test_equal_pixels_of_other_sizes_and_names_stay_apart(inferencer, tmp_path):
    for name, side in (('a', 40), ('b', 90), ('c', 90)):
        cv2.imwrite(str(tmp_path / f'{name}.png'), np.full((side, side, 3), 77, 'u1'))
    paths = [tmp_path / f'{name}.png' for name in 'abc']
    results = inferencer([(path, 'pool') for path in paths])
    assert [result.mask.shape for result in results] == [(40, 40), (90, 90), (90, 90)]
    assert [result.image_path for result in results] == [str(path) for path in paths]


def test_a_file_is_decoded_once_but_not_remembered(inferencer, images, tmp_path):
    path = tmp_path / 'image.png'
    shutil.copy(images[0], path)
    pairs = inferencer.predict([(path, 'pool'), (path, 'pool')])
    first = next(pairs)
    path.unlink()
    assert np.array_equal(next(pairs).image, first.image)
    shutil.copy(images[1], path)
    (later,) = inferencer(path, 'pool')
    assert not np.array_equal(later.image, first.image)


def test_results_before_a_bad_pair_are_given(inferencer, images, tmp_path):
    pairs = inferencer.predict([(images[0], 'pool'), (tmp_path / 'gone.png', 'it')])
    assert next(pairs).expression == 'pool'
    with pytest.raises(FileNotFoundError):
        next(pairs)


def test_batch_sizes_are_checked(tiny_config):
    with pytest.raises(ValueError, match='expression_batch_size'):
        ReferringInferencer(tiny_config, device='cpu', expression_batch_size=0)
