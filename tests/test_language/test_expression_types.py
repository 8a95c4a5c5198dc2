# SPDX-License-Identifier: Apache-2.0
"""Types of expressions, by hand and against the programs of SynthRS."""

import json

import pytest

from mmcadformer.language.expression_types import (
    EXPRESSION_TYPES,
    classify_expression,
    find_types,
)
from mmcadformer.synthrs import generate_synthrs
from mmcadformer.utils.plain_pickle import load_plain_pickle

EXAMPLES = {
    'a ground track field on the lower left': 'position',
    'The vehicle in the middle.': 'position',
    'the storage tank nearest to the left edge': 'position',
    'the ship near the top edge of the image': 'position',
    'the airplane at the top of the picture': 'position',
    'the airplane on the far left side': 'position',
    'the airplane on the extreme left side': 'position',
    'the southeasternmost pond': 'position',
    'the second tank from the left': 'position',
    'the leftmost of the three cars': 'position',
    'northern harbor': 'position',
    'the tank to the left': 'position',
    'the dam is on the left of the red bridge which is large': 'relation',
    'tank closest to the left tank': 'relation',
    'the tank in the middle of the two houses': 'relation',
    'the car between the red house and the large tank': 'relation',
    'the vehicle on the bridge': 'relation',
    'the car nearby': 'relation',
    'the tank in front of the green one': 'relation',
    'a gray expressway toll station': 'attribute',
    'the car in red': 'attribute',
    'the round tank': 'attribute',
    'the large airplane is on the upper right of the airplane': 'attribute relation',
    'the vehicle on the right of the airplane is white': 'attribute relation',
    'the car left of the tank, the red one': 'attribute relation',
    'the tank above the pool and on the left': 'position relation',
    'the tank on the right next to the red house': 'position relation',
    'the round tank at the bottom, left of the pool': 'attribute position relation',
    'the red car in the upper right corner': 'attribute position',
    'the car in the image': '',
    'la voiture rouge': '',
    '': '',
}


@pytest.mark.parametrize('expression, types', EXAMPLES.items())
def test_examples(expression, types):
    types = types.split()
    assert sorted(find_types(expression)) == types
    single = types[0] if types else 'other'
    expected = 'combination' if len(types) > 1 else single
    assert classify_expression(expression) == expected


def test_a_category_is_no_attribute():
    assert classify_expression('the large vehicle') == 'attribute'
    assert classify_expression('the large vehicle', 'large vehicle') == 'other'
    assert classify_expression('the small large vehicle', 'Large Vehicle') == (
        'attribute'
    )


def test_agrees_with_what_synthrs_meant(tmp_path):
    """The generator knows the meaning of each sentence; the rules see its words."""
    kinds = dict(
        position='position',
        extreme='position',
        ordinal='position',
        size='attribute',
        color='attribute',
        relation='relation',
        distance='relation',
    )
    folder = generate_synthrs(
        tmp_path, dict(train=60), 64, difficulty='hard', progress=False
    )
    records = json.loads((folder / 'synthrs.json').read_text())['sentences']
    seen = []
    for ref in load_plain_pickle((folder / 'refs(unc).p').read_bytes()):
        for sentence in ref['sentences']:
            (_, category), *steps = records[str(sentence['sent_id'])]['program']
            expected = {kinds[step[0]] for step in steps}
            assert find_types(sentence['sent'], category) == expected, sentence['sent']
            seen.append(classify_expression(sentence['sent'], category))
    assert len(seen) > 400 and set(seen) == set(EXPRESSION_TYPES)
