# SPDX-License-Identifier: Apache-2.0
import pytest

from mmcadformer.language.crops import survives_cropping


@pytest.mark.parametrize(
    'expression',
    [
        'the pond',
        'The large green tennis court.',
        'the largest water body',
        'the biggest lake in the scene',
        'the only storage tank in this image',
        'the leftmost pond',
        'the uppermost pond',
        'the lowest pond',
        'the northernmost pond',
        'the southeasternmost pond',
        'the water body closest to the bottom',
        'the water body nearest the top edge',
        'the water body nearest to the left side of the image',
        'the water body farthest to the left',
        'the water body on the far right',
        'the tank at the very top',
    ],
)
def test_what_stays_true_in_a_crop(expression):
    assert survives_cropping(expression)


@pytest.mark.parametrize(
    'expression',
    [
        'the tank on the left',
        'the upper left tank',
        'the tank at the top of the hill',
        'the pond in the middle of the image',
        'the southeastern pond',
        'the smallest pond',
        'the tiniest water body',
        'the second largest tank',
        'the third tank from the left',
        'the largest tank beside the road',
        'the tank nearest the left tank',
        'the tank closest to the road',
        'the pond to the right of the leftmost pond',
        'the larger of two tanks',
        'the smaller tank',
        'the pond that lies farthest to the left of the road',
        'a tank above the leftmost pond',
    ],
)
def test_what_may_be_false_in_a_crop(expression):
    assert not survives_cropping(expression)
