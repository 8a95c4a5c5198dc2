# SPDX-License-Identifier: Apache-2.0
"""Which expressions are drawn, and what is on the sheet."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmcadformer.comparison import draw_sheet, largest_disagreements, load_methods
from mmcadformer.visualization.overlay import PRED_COLOR, TRUTH_COLOR


def encode(mask):
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=[*mask.shape], counts=rle['counts'].decode())


@pytest.fixture
def methods(tmp_path, write_lines):
    """Two methods on one grey image; the prediction of the second is shifted."""
    image = np.full((60, 80, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / 'grey.png'), image)
    truth = np.zeros((60, 80), bool)
    truth[10:40, 10:40] = True

    def lines(shifts):
        result = []
        for i, shift in enumerate(shifts):
            pred = np.roll(truth, shift, axis=1)
            result.append(
                dict(
                    dataset_name='toy',
                    image_id=1,
                    ref_id=i,
                    sent_id=i,
                    img_path=str(tmp_path / 'grey.png'),
                    category='ship',
                    expression=f'ship number {i}',
                    intersection=int((pred & truth).sum()),
                    union=int((pred | truth).sum()),
                    truth_area=int(truth.sum()),
                    height=60,
                    width=80,
                    pred_rle=encode(pred),
                    truth_rle=encode(truth),
                )
            )
        return result

    return load_methods(
        {
            'first': [write_lines(lines([0, 0, 9, 30, 5]), 'first.jsonl')],
            'second': [write_lines(lines([0, 30, 0, 0, 6]), 'second.jsonl')],
        }
    )


def test_both_directions_come_by_turns(methods):
    # The second is far better on 3 and better on 2, the first on 1 and a bit on 4.
    assert largest_disagreements(methods, 9) == [3, 1, 2, 4]
    assert largest_disagreements(methods, 3) == [3, 1, 2]
    assert largest_disagreements(methods[::-1], 2) == [1, 3]
    assert largest_disagreements([methods[0], methods[0]], 5) == []


def near(picture, color):
    return np.abs(picture.astype(int) - np.array(color)).max(axis=-1) < 12


def test_sheet_shows_the_masks(methods):
    sheet = draw_sheet(methods, [1], panel_width=160)
    assert sheet.shape[1] == 4 * 160 + 3 * 4 and sheet.dtype == np.uint8
    panels = [sheet[:, x : x + 160] for x in range(0, 4 * 164, 164)]
    tint = 0.55 * 90 + 0.45 * np.array(PRED_COLOR)
    tinted = [np.argwhere(near(panel, tint)) for panel in panels]
    # The truth panel is tinted with its own colour, the image not at all.
    assert len(tinted[0]) == len(tinted[1]) == 0
    assert near(panels[1], TRUTH_COLOR).sum() > 200
    # 30 x 30 px at twice the size; contours take a part.
    for found, left in ((tinted[2], 20), (tinted[3], 80)):
        assert 2600 < len(found) <= 3600
        assert left <= found[:, 1].min() < found[:, 1].max() < left + 60
    for panel in panels[2:]:
        assert near(panel, TRUTH_COLOR).sum() > 100
    # Below the legend, a row more is as high as another.
    heights = [len(draw_sheet(methods, [1] * n, panel_width=160)) for n in (2, 3)]
    assert heights[1] - heights[0] == heights[0] - len(sheet) > 120


def test_what_is_missing_is_named(methods, tmp_path):
    assert draw_sheet(methods, [1], image_dir=tmp_path).size
    with pytest.raises(FileNotFoundError, match='elsewhere/grey.png.*--images'):
        draw_sheet(methods, [1], image_dir='elsewhere')
    with pytest.raises(ValueError, match='no expression to draw'):
        draw_sheet(methods, [])
    for line in methods[1].expressions:
        line.pop('pred_rle')
    with pytest.raises(ValueError, match='second hold no masks.*--save-masks'):
        draw_sheet(methods, [1])
