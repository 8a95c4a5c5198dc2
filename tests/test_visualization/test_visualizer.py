# SPDX-License-Identifier: Apache-2.0
"""The visualizer with MMEngine's own backends."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

from mmcadformer.visualization import draw_referring_panels


@pytest.fixture
def sample():
    sample = SegDataSample(metainfo=dict(expression='the left one'))
    masks = torch.zeros(2, 1, 40, 50, dtype=torch.long)
    masks[0, :, 5:20, 5:20] = 1
    masks[1, :, 5:30, 5:30] = 1
    sample.pred_sem_seg = PixelData(data=masks[0])
    sample.gt_sem_seg = PixelData(data=masks[1])
    return sample


def build(tmp_path, *backends):
    return VISUALIZERS.build(
        dict(
            type='mmseg.ReferringVisualizer',
            name=f'test_{tmp_path.name}',
            vis_backends=[dict(type=backend) for backend in backends],
            save_dir=str(tmp_path),
        )
    )


def test_local_backend_gets_the_panels(tmp_path, sample):
    visualizer = build(tmp_path, 'LocalVisBackend')
    image = np.full((40, 50, 3), (200, 100, 50), np.uint8)
    visualizer.add_datasample('scene', image, sample, step=7)
    written = cv2.imread(str(tmp_path / 'vis_data/vis_image/scene_7.png'))
    drawn = visualizer.draw_datasample(image, sample)
    assert np.array_equal(written[..., ::-1], drawn)
    # The first panel is the image itself, in its own colours.
    assert (drawn == (200, 100, 50)).all(axis=-1).sum() > 40 * 50 * 7 * 7


def test_what_a_presence_head_denies_is_said_and_not_drawn(tmp_path, sample):
    visualizer = build(tmp_path)
    image = np.full((40, 50, 3), (200, 100, 50), np.uint8)
    truth = sample.gt_sem_seg.data[0].numpy()
    nothing = np.zeros_like(truth)
    sample.set_field(0.031, 'presence_score')
    sample.set_field(torch.tensor(0.4), 'presence_threshold')
    denied = visualizer.draw_datasample(image, sample)
    expected = draw_referring_panels(
        image, 'the left one', nothing, truth, remark='not found (0.03)'
    )
    assert np.array_equal(denied, expected)
    sample.set_field(0.5, 'presence_score')
    found = visualizer.draw_datasample(image, sample)
    masks = (sample.pred_sem_seg.data[0].numpy(), truth)
    assert np.array_equal(found, draw_referring_panels(image, 'the left one', *masks))


def test_tensorboard_backend_gets_the_panels(tmp_path, sample):
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    visualizer = build(tmp_path, 'TensorboardVisBackend')
    image = np.zeros((40, 50, 3), np.uint8)
    visualizer.add_datasample('scene', image, sample, step=3)
    visualizer.close()
    events = EventAccumulator(str(tmp_path / 'vis_data')).Reload()
    (event,) = events.Images('scene')
    assert event.step == 3
    height, width = visualizer.draw_datasample(image, sample).shape[:2]
    assert (event.height, event.width) == (height, width)


def test_out_file_is_written_instead(tmp_path, sample):
    visualizer = build(tmp_path, 'LocalVisBackend')
    image = np.zeros((40, 50, 3), np.uint8)
    out_file = tmp_path / 'new' / 'it.png'
    visualizer.add_datasample('scene', image, sample, out_file=out_file)
    assert cv2.imread(str(out_file)) is not None
    assert not (tmp_path / 'vis_data/vis_image').exists()


def test_a_sample_without_masks_shows_the_image(tmp_path):
    visualizer = build(tmp_path)
    image = np.full((400, 500, 3), 9, np.uint8)
    drawn = visualizer.draw_datasample(image, SegDataSample())
    assert drawn.shape[1] == 500


def test_a_mask_of_another_size_is_an_error(tmp_path, sample):
    visualizer = build(tmp_path)
    with pytest.raises(ValueError, match='size of the image'):
        visualizer.draw_datasample(np.zeros((80, 50, 3), np.uint8), sample)
