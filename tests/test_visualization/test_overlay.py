# SPDX-License-Identifier: Apache-2.0
"""What a person sees on a picture of a referring result."""

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import ImageFont

from mmcadformer.visualization import (
    draw_referring_overlay,
    draw_referring_panels,
    mask_iou,
)
from mmcadformer.visualization import text as text_module
from mmcadformer.visualization.overlay import PRED_COLOR, TRUTH_COLOR
from mmcadformer.visualization.text import draw_text_strip, load_font, wrap_text


@pytest.fixture
def scene():
    image = np.full((400, 500, 3), 100, np.uint8)
    pred = np.zeros((400, 500), bool)
    pred[100:200, 100:200] = True
    truth = np.zeros((400, 500), np.uint8)
    truth[150:250, 100:200] = 1
    truth[:10] = 255
    return image, pred, truth


def test_iou_counts_target_pixels_outside_ignored_ones():
    pred = np.array([[1, 1, 0, 1]])
    truth = np.array([[1, 0, 1, 255]])
    assert mask_iou(pred, truth) == pytest.approx(1 / 3)
    assert mask_iou(pred == 1, truth) == pytest.approx(1 / 3)
    assert mask_iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1.0
    assert mask_iou(np.ones((2, 2), bool), np.zeros((2, 2), bool)) == 0.0


def test_overlay_tints_prediction_and_outlines_truth(scene):
    image, pred, truth = scene
    before = image.copy()
    drawn = draw_referring_overlay(image, 'the grey one', pred, truth, alpha=0.5)
    assert drawn.dtype == np.uint8 and drawn.shape[1] == 500 and drawn.shape[0] > 400
    assert np.array_equal(image, before)
    # Inside the prediction: half image, half colour. Truth alone stays untinted.
    middle = np.round((100 + np.array(PRED_COLOR)) / 2)
    assert np.abs(drawn[120, 150] - middle).max() <= 1
    assert tuple(drawn[220, 150]) == (100, 100, 100)
    assert tuple(drawn[100, 150]) == PRED_COLOR
    assert tuple(drawn[249, 150]) == TRUTH_COLOR
    # Nothing is drawn elsewhere, ignored pixels included.
    assert (drawn[:90] == 100).all() and (drawn[:400, 300:] == 100).all()


def test_overlay_tints_truth_where_there_is_no_prediction(scene):
    image, _, truth = scene
    drawn = draw_referring_overlay(image, 'it', truth=truth, alpha=0.5)
    middle = np.round((100 + np.array(TRUTH_COLOR)) / 2)
    assert np.abs(drawn[200, 150] - middle).max() <= 1


def test_text_goes_above_or_below_and_never_onto_the_image(scene):
    image, pred, _ = scene
    below = draw_referring_overlay(image, 'some words', pred)
    above = draw_referring_overlay(image, 'some words', pred, text_position='above')
    strip = below[400:]
    assert np.array_equal(above[: len(strip)], strip)
    assert np.array_equal(above[len(strip) :], below[:400])
    other = draw_referring_overlay(image, 'other words', pred)
    assert not np.array_equal(other[400:], strip)
    assert np.array_equal(other[:400], below[:400])


def test_legend_shows_the_agreement(scene):
    image, pred, truth = scene
    same = draw_referring_overlay(image, 'it', pred, pred)
    part = draw_referring_overlay(image, 'it', pred, truth)
    assert not np.array_equal(same[400:], part[400:])


def test_the_legend_says_what_is_not_there(scene):
    image, pred, truth = scene
    nothing = np.zeros_like(truth)
    said = draw_referring_overlay(image, 'it', truth=nothing)
    assert not (said == TRUTH_COLOR).all(axis=-1).any()  # no swatch for no mask
    assert (draw_referring_overlay(image, 'it', truth=truth) == TRUTH_COLOR).any()
    denied = draw_referring_overlay(image, 'it', nothing, remark='not found (0.03)')
    other = draw_referring_overlay(image, 'it', nothing, remark='not found (0.04)')
    assert not np.array_equal(denied[400:], other[400:])


def test_panels_stand_side_by_side(scene):
    image, pred, truth = scene
    three = draw_referring_panels(image, 'it', pred, truth)
    two = draw_referring_panels(image, 'it', truth=truth)
    one = draw_referring_panels(image, 'it')
    assert [part.shape[1] for part in (one, two, three)] == [500, 1004, 1508]


@pytest.mark.parametrize('size', [(1, 1), (3, 700), (700, 3), (64, 64)])
def test_any_size_is_drawn_with_readable_text(size):
    image = np.zeros((*size, 3), np.uint8)
    drawn = draw_referring_overlay(image, 'a small thing', np.ones(size, bool))
    assert drawn.shape[1] >= 320 and drawn.shape[0] > size[0]


@pytest.mark.parametrize('height', [700, 1600, 60_000])
def test_narrow_pictures_stay_small_however_high(height):
    image = np.full((height, 1, 3), 7, np.uint8)
    drawn = draw_referring_overlay(image, 'a line')
    assert drawn.shape[1] == 320 and height < len(drawn) < max(2048, height) + 200
    enlarged = (drawn[: height // 2] == 7).all(axis=(0, 2)).sum()
    assert enlarged == max(1, 2048 // height)


@pytest.mark.parametrize(
    'text',
    ['', ' \n\t ', 'x' * 10_000, 'w ' * 5_000, 'озеро слева', '左上角的池塘', 'a\x00b'],
)
def test_any_text_is_drawn_within_its_strip(text):
    strip = draw_text_strip(200, text, [((1, 2, 3), 'truth')], font_size=14)
    assert strip.shape[1] == 200 and strip.shape[0] < 200
    margin = np.concatenate([strip[:, :2], strip[:, -2:]], axis=1)
    assert (margin == 255).all()


def test_wrapping_loses_no_letter():
    font = load_font('', 14)
    text = 'the second storage tank left of supercalifragilisticexpialidocious roofs'
    lines = wrap_text(text, font, 90, max_lines=50)
    assert ''.join(lines).replace(' ', '') == text.replace(' ', '')
    assert all(font.getlength(line) <= 90 for line in lines)
    cut = wrap_text(text, font, 90, max_lines=2)
    assert len(cut) == 2 and cut[1].endswith('…') and font.getlength(cut[1]) <= 90


def test_letters_beyond_ascii_have_their_own_shape():
    assert isinstance(load_font('Ж', 20), ImageFont.FreeTypeFont)
    strips = [draw_text_strip(60, letter, font_size=20) for letter in 'ЖЩéα']
    for i, strip in enumerate(strips):
        assert (strip < 128).any()
        assert all(not np.array_equal(strip, other) for other in strips[:i])


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(image=np.zeros((4, 4), np.uint8)), r'\(H, W, 3\)'),
        (dict(image=np.zeros((4, 4, 3), np.float32)), 'uint8'),
        (dict(image=np.zeros((0, 4, 3), np.uint8)), 'no pixels'),
        (dict(pred=np.zeros((2, 2), bool)), r'pred must have the size.*\(2, 2\)'),
        (dict(truth=np.zeros((4, 5), bool)), r'truth must have the size.*\(4, 5\)'),
        (dict(text_position='left'), "'left'"),
    ],
)
def test_wrong_input_is_named(change, message):
    options = dict(image=np.zeros((4, 4, 3), np.uint8), expression='it')
    with pytest.raises(ValueError, match=message):
        draw_referring_overlay(**{**options, **change})


def test_letters_that_no_font_has_are_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, '_said', [])
    log = tmp_path / 'log.txt'
    MMLogger.get_instance('letters', log_file=str(log))
    monkeypatch.setattr(text_module, '_installed_fonts', list)
    for letter in '湖झ':
        draw_text_strip(100, f'пруд {letter}')
    (line,) = [x for x in log.read_text().splitlines() if 'no installed font' in x]
    assert 'Noto' in line and 'п' not in line
