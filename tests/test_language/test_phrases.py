# SPDX-License-Identifier: Apache-2.0
"""FIANet's phrase split: which words."""

import pytest

from mmcadformer.language.phrases import find_objects, find_positions, group_word_pieces

CATEGORIES = ('ship', 'storage tank', 'vehicle', 'ground track field', 'factory')


@pytest.mark.parametrize(
    ('expression', 'expected'),
    [
        ('the storage tank at the top left of the image', 'at the top left'),
        ('a ship on the right of the gray ship in the middle',
         'on the right in the middle'),
        ('the vehicle next to the two overpasses which is red',
         'next to the two overpasses'),
        ('the pool between the road and the forest', 'between the road'),
        ('the roof of the house with a red car', ''),
        ('the leftmost ship', ''),
        ('ship near', 'near'),
        ('a ship in very large old grey rusty water', 'in very large old grey'),
    ],
)  # fmt: skip
def test_positions(expression, expected):
    words = expression.split()
    assert ' '.join(words[i] for i in find_positions(words)) == expected


@pytest.mark.parametrize(
    ('expression', 'expected'),
    [
        ('the ship near the other ship', 'ship'),
        ('two storage tanks and a vehicle', 'storage tanks vehicle'),
        ('the tank for storage', ''),
        ('the factories by the ground track field', 'factories ground track field'),
        ('the shipyard', ''),
    ],
)
def test_objects(expression, expected):
    words = expression.split()
    found = find_objects(words, CATEGORIES)
    assert ' '.join(words[i] for i in found) == expected


def test_word_pieces_are_put_together():
    tokens = ['[CLS]', 'the', 'ground', '-', 'tr', '##ack', 'field', '[SEP]', '[PAD]']
    words, members = group_word_pieces(tokens, ('[CLS]', '[SEP]', '[PAD]'))
    assert words == ['the', 'ground', 'track', 'field']
    assert members == [[1], [2, 3], [4, 5], [6]]
