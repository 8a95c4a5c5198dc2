# SPDX-License-Identifier: Apache-2.0
"""Heat maps: hot where the numbers are high, in the word's own column."""

import numpy as np
import pytest

from mmcadformer.visualization.attention import (
    AttentionRow,
    draw_word_attention,
    heat_overlay,
)

GREY = np.full((40, 60, 3), 120, np.uint8)


def test_heat_is_where_the_numbers_are():
    heat = np.zeros((4, 6))
    heat[0, 5] = 1
    picture = heat_overlay(GREY, heat).astype(int)
    assert picture.shape == GREY.shape
    assert picture[2, 57].sum() > picture[2, 2].sum() + 200
    assert np.array_equal(picture[38, 2], picture[38, 57])


@pytest.mark.parametrize('heat', [np.zeros((2, 2)), np.full((2, 2), 7.0)])
def test_flat_maps_are_flat(heat):
    picture = heat_overlay(GREY, heat, heat.min(), heat.max())
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


def test_padding_of_the_map_is_cut_off():
    """A map of 4 cells, of which the image takes three in width and two in height."""
    heat = np.zeros((4, 4))
    heat[1, 2] = 1
    picture = heat_overlay(GREY, heat, image_share=(0.5, 0.75)).astype(int).sum(axis=2)
    assert picture.shape == GREY.shape[:2]
    assert np.unravel_index(picture.argmax(), picture.shape) == (29, 49)
    heat[:] = 0
    heat[3, 3] = 1
    assert np.ptp(heat_overlay(GREY, heat, image_share=(0.5, 0.75))[..., 0]) == 0


@pytest.mark.parametrize('shape', [(400, 2), (2, 400), (1, 1), (500, 900)])
def test_images_of_any_shape_are_drawn(shape):
    image = np.full((*shape, 3), 90, np.uint8)
    maps = np.random.default_rng(0).random((2, 4, 3))
    rows = [AttentionRow('row', maps)]
    picture = draw_word_attention(image, image, ['first', 'second'], rows)
    assert max(picture.shape) < 1500 and picture.std() > 5


def grid(words, maps):
    return draw_word_attention(GREY, GREY, words, [AttentionRow('row', maps)])


def test_columns_belong_to_words():
    """Heating another word changes another part of the picture."""
    quiet = np.full((3, 2, 2), 0.1)
    quiet[:, 0, 0] = 0.0
    quiet[:, 0, 1] = 1.0
    changed = []
    for word in range(3):
        maps = quiet.copy()
        maps[word, 1, 1] = 1.0
        different = (grid('abc', maps) != grid('abc', quiet)).any(axis=2)
        changed.append(np.flatnonzero(different.any(axis=0)).min())
    assert changed[0] < changed[1] < changed[2]


def test_the_word_that_stands_out_gives_the_colour():
    maps = np.full((2, 1, 2), 0.5)
    maps[0, 0, 0], maps[1, 0, 1] = 0.9, 0.9
    left_first = grid('ab', maps)
    right_first = grid('ab', maps[::-1])
    assert (left_first != right_first).any()
    # The last column's map: two colours side by side, and exchanged in the other.
    rows, columns = np.nonzero((left_first != right_first).any(axis=2))
    right, bottom = columns.max(), rows.max()
    for picture, other in ((left_first, right_first), (right_first, left_first)):
        assert (
            picture[bottom - 10, right - 10] != picture[bottom - 10, right - 110]
        ).any()
        assert (
            picture[bottom - 10, right - 10] == other[bottom - 10, right - 110]
        ).all()


def test_any_word_can_be_a_title():
    words = ['$x$', 'озеро', 'a' * 200, '\\frac', '']
    picture = grid(words, np.random.default_rng(0).random((5, 3, 3)))
    assert picture.dtype == np.uint8 and picture.std() > 5
