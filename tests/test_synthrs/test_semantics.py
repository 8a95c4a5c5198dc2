# SPDX-License-Identifier: Apache-2.0
"""What programs mean, yes, no and unclear."""

import pytest

from mmcadformer.synthrs import (
    ObjectFacts,
    SceneSemantics,
)


@pytest.mark.parametrize(
    'steps, expected',
    [
        ([['position', 'left']], None),  # the second tank is nearly on the left
        ([['position', 'upper left']], 0),
        ([['extreme', 'left']], 0),
        ([['extreme', 'top']], None),  # 0.05 image heights are no clear lead
        ([['size', 'largest']], None),
        ([['color', 'brown']], 1),
        ([['color', 'white']], None),
        ([['color', 'white'], ['extreme', 'right']], 2),
        ([['ordinal', 2, 'left']], 1),
        ([['relation', 'right', [['category', 'roundabout']]]], 2),
        ([['distance', 'nearest', [['category', 'roundabout']]]], 1),
        ([['relation', 'left', [['category', 'tennis court']]]], None),
    ],
)
def test_programs_have_three_values(steps, expected):
    semantics = SceneSemantics(
        [
            ObjectFacts('storage tank', 'white', 0.2, 0.2, 100.0),
            ObjectFacts('storage tank', 'brown', 0.49, 0.6, 130.0),
            ObjectFacts('storage tank', 'white', 0.8, 0.25, 100.0),
            ObjectFacts('roundabout', None, 0.5, 0.4, 90.0),
        ]
    )
    program = [['category', 'storage tank']] + steps
    assert semantics.resolve(program) == expected


def test_unknown_step_is_an_error():
    semantics = SceneSemantics([])
    with pytest.raises(ValueError, match='shiny'):
        semantics.run([['shiny', 1]])
