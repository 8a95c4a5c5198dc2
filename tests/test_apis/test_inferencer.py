# SPDX-License-Identifier: Apache-2.0
"""From images and sentences to masks, through the public entry points."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcadformer.apis import ReferringInferencer, pair_inputs
from mmcadformer.evaluation import Decision
from mmcadformer.visualization import draw_referring_overlay


@pytest.fixture(scope='module')
def images(tiny_data):
    folder = tiny_data / 'images/synthrs/JPEGImages'
    return sorted(folder.glob('*test*'))


@pytest.fixture(scope='module')
def inferencer(tiny_config, tiny_checkpoint):
    return ReferringInferencer(tiny_config, tiny_checkpoint, device='cpu')


def read_rgb(path):
    return cv2.imread(str(path))[..., ::-1]


def same(first, second):
    return first.expression == second.expression and np.allclose(
        first.probability, second.probability, atol=1e-5
    )


def test_result_agrees_with_the_test_run(
    inferencer, tiny_config, tiny_checkpoint, tmp_path
):
    cfg = Config.fromfile(tiny_config)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = 'inferencer'
    cfg.load_from = str(tiny_checkpoint)
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    runner.model.eval()
    loader = Runner.build_dataloader(cfg.test_dataloader)
    for batch in loader:
        (sample,) = runner.model.test_step(batch)
        (result,) = inferencer(sample.img_path, sample.expression)
        expected = sample.seg_logits.data.softmax(0)[1].detach().numpy()
        assert np.allclose(result.probability, expected, atol=1e-6)
        assert np.array_equal(result.mask, sample.pred_sem_seg.data[0].numpy() == 1)


def test_result_describes_itself(inferencer, images):
    (result,) = inferencer(images[0], 'the left pool')
    assert result.mask.shape == result.probability.shape == (72, 72)
    assert result.mask.dtype == bool and result.image.shape == (72, 72, 3)
    assert np.array_equal(result.mask, result.probability > 0.5)
    assert np.array_equal(result.image, read_rgb(images[0]))
    assert result.image_path == str(images[0])
    if result.mask.any():
        assert result.score == pytest.approx(result.probability[result.mask].mean())


def test_score_and_box_follow_the_mask(inferencer, images):
    (result,) = inferencer(images[0], 'the left pool')
    result.mask = np.zeros((72, 72), bool)
    assert result.record()['box'] is None and result.record()['area'] == 0
    result.mask[10:20, 30:31] = True
    record = result.record()
    assert record['box'] == [30, 10, 31, 20] and record['area'] == 10
    assert (record['height'], record['width']) == (72, 72)


def test_nothing_found_scores_zero(inferencer, images):
    head = inferencer.model.decode_head.conv_seg
    bias = head.bias.detach().clone()
    try:
        with torch.no_grad():
            head.bias.copy_(torch.tensor([100.0, -100.0]))
        (empty,) = inferencer(images[0], 'it')
        with torch.no_grad():
            head.bias.copy_(torch.tensor([-100.0, 100.0]))
        (full,) = inferencer(images[0], 'it')
    finally:
        with torch.no_grad():
            head.bias.copy_(bias)
    assert not empty.mask.any() and empty.score == 0.0
    assert full.mask.all() and full.score == pytest.approx(1.0)


def test_arrays_give_what_files_give(inferencer, images):
    (from_file,) = inferencer(images[0], 'it')
    (from_array,) = inferencer(read_rgb(images[0]), 'it')
    assert same(from_file, from_array) and from_array.image_path is None


def test_batches_give_what_single_pairs_give(
    inferencer, tiny_config, tiny_checkpoint, images
):
    sentences = ['the pool', 'the large red court on the left', 'it']
    batched = ReferringInferencer(tiny_config, tiny_checkpoint, 'cpu', batch_size=2)
    single = [inferencer(images[0], sentence)[0] for sentence in sentences]
    assert [result.expression for result in single] == sentences
    assert all(map(same, inferencer(images[0], sentences), single))
    others = [inferencer(image, 'it')[0] for image in images]
    assert all(map(same, batched(images, 'it'), others))


def test_images_of_any_size_keep_theirs(inferencer):
    sizes = [(50, 90), (90, 50), (7, 5)]
    results = inferencer([np.full((*size, 3), 90, np.uint8) for size in sizes], 'it')
    assert [result.mask.shape for result in results] == sizes


def test_saved_files_hold_the_result(inferencer, images, tmp_path):
    (result,) = inferencer(images[0], 'озеро слева')
    result.mask[:10, :20] = True
    record = result.save(tmp_path / 'new', 'scene')
    mask = cv2.imread(str(tmp_path / 'new' / record['mask']), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(mask, result.mask * np.uint8(255))
    overlay = read_rgb(tmp_path / 'new' / record['overlay'])
    assert np.array_equal(overlay, result.overlay())
    result.presence = Decision(False, 0.031, 0.4)
    said = draw_referring_overlay(
        result.image, result.expression, remark='not found (0.03)'
    )
    assert np.array_equal(result.overlay(), said)
    written = json.loads((tmp_path / 'new/scene.json').read_text(encoding='utf-8'))
    assert written == record and written['expression'] == 'озеро слева'
    assert written['area'] == result.mask.sum() and 0 <= written['score'] <= 1


@pytest.mark.parametrize(
    'images, expressions, expected',
    [
        ('a', 'x', [('a', 'x')]),
        ('a', ['x', 'y'], [('a', 'x'), ('a', 'y')]),
        (['a'], ['x', 'y'], [('a', 'x'), ('a', 'y')]),
        (['a', 'b'], 'x', [('a', 'x'), ('b', 'x')]),
        (['a', 'b'], ['x', 'y'], [('a', 'x'), ('b', 'y')]),
        ([('a', 'x'), ('b', 'y')], None, [('a', 'x'), ('b', 'y')]),
    ],
)
def test_pairing(images, expressions, expected):
    assert pair_inputs(images, expressions) == expected


@pytest.mark.parametrize(
    'images, expressions, message',
    [
        (['a', 'b', 'c'], ['x', 'y'], '3 images but 2 expressions'),
        ([], 'x', 'no image'),
        ('a', [], 'no expression'),
        ('a', None, 'no expression'),
    ],
)
def test_wrong_numbers_are_named(images, expressions, message):
    with pytest.raises(ValueError, match=message):
        pair_inputs(images, expressions)


def test_unusable_inputs_are_named(inferencer, images, tmp_path):
    (tmp_path / 'text.png').write_text('no image')
    (tmp_path / 'cut.jpg').write_bytes(images[0].read_bytes()[:40])
    (tmp_path / 'empty.png').touch()
    for name in ('text.png', 'cut.jpg', 'empty.png'):
        with pytest.raises(ValueError, match=f'{name} is not an image'):
            inferencer(tmp_path / name, 'it')
    with pytest.raises(FileNotFoundError, match='gone.png does not exist'):
        inferencer(tmp_path / 'gone.png', 'it')
    for bad in ('  ', '\u200b \u200d', 3, None):
        with pytest.raises(ValueError, match='expression for .* is empty or no text'):
            inferencer(images[0], ['it', bad])
    with pytest.raises(ValueError, match='RGB uint8'):
        inferencer(np.zeros((4, 4)), 'it')
    with pytest.raises(ValueError, match='no pixels'):
        inferencer(np.zeros((0, 4, 3), np.uint8), 'it')


def test_bad_pairs_can_be_left_out(inferencer, images, tmp_path):
    bad = []
    pairs = [(images[0], 'it'), (tmp_path / 'gone.png', 'it'), (images[0], '')]
    results = list(inferencer.predict(pairs, on_bad=lambda *args: bad.append(args)))
    assert len(results) == 1
    assert [entry[:2] for entry in bad] == pairs[1:]


def test_grey_and_transparent_images_are_read_as_colour(inferencer, images, tmp_path):
    grey = cv2.imread(str(images[0]), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(tmp_path / 'grey.png'), grey)
    cv2.imwrite(str(tmp_path / 'alpha.png'), np.dstack([grey] * 4))
    first, second = inferencer([tmp_path / 'grey.png', tmp_path / 'alpha.png'], 'it')
    assert same(first, second) and first.image.shape == (72, 72, 3)


def test_a_long_path_in_any_script_is_read(inferencer, images, tmp_path):
    path = tmp_path / 'снимок № 1.jpg'
    shutil.copy(images[0], path)
    (result,) = inferencer(path, 'it')
    assert result.image_path == str(path)


def test_config_without_pipeline_is_refused(tiny_config):
    cfg = Config.fromfile(tiny_config)
    cfg.test_dataloader = cfg.test_pipeline = None
    with pytest.raises(ValueError, match='neither test_dataloader'):
        ReferringInferencer(cfg, device='cpu')
