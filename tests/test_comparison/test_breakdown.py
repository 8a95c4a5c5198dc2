# SPDX-License-Identifier: Apache-2.0
"""Groups of expressions, and who wins in them."""

import numpy as np
import pytest

from mmcadformer.comparison import breakdown_table, group_expressions, score
from mmcadformer.comparison.breakdown import duel


def test_every_expression_is_in_one_group(load):
    (method,) = load(30, a=[0.6])
    lines = method.expressions
    groups_by = group_expressions(method, (5, 10), (2, 5))
    by_category = groups_by['category']
    assert list(by_category) == ['dam', 'harbor', 'ship']
    by_length = groups_by['expression length']
    assert list(by_length) == ['up to 2 words', 'over 2 to 5 words', 'over 5 words']
    by_size = groups_by['target size']
    by_type = groups_by['expression type']
    assert list(by_type) == [
        'position', 'relation', 'attribute', 'combination', 'other'
    ]  # fmt: skip
    for groups in (by_category, by_length, by_size, by_type):
        assert sorted(np.concatenate([*groups.values()])) == list(range(30))
    assert {lines[i]['category'] for i in by_category['ship']} == {'ship'}
    lengths = {len(lines[i]['expression'].split()) for i in by_length['up to 2 words']}
    assert lengths == {2}
    shares = [
        lines[i]['truth_area'] / 2000 for i in by_size['over 5 to 10 % of the image']
    ]
    assert shares and all(0.05 < share <= 0.1 for share in shares)


def test_limits_belong_to_the_range_below(load):
    (method,) = load(5, a=[0.6])
    # Lengths are 2, 5, 4, 7 and 17 words.
    groups = group_expressions(method, length_edges=(4, 5))['expression length']
    assert [list(indices) for indices in groups.values()] == [[0, 2], [1], [3, 4]]
    with pytest.raises(ValueError, match='limits must be ascending'):
        group_expressions(method, length_edges=(5, 5))


def test_old_files_have_no_sizes(make_lines, write_lines):
    from mmcadformer.comparison import load_methods

    lines = make_lines(3, 0.5)
    for line in lines:
        del line['truth_area']
    (method,) = load_methods({'a': [write_lines(lines, 'old.jsonl')]})
    assert 'target size' not in group_expressions(method)


def test_duels_count_seeds_once(load):
    a, b = load(40, a=[0.7, 0.6], b=[0.5])
    result = duel(a, b, margin=0.1)
    wins = losses = 0
    for i in range(40):
        own = sum(
            lines[i]['intersection'] / lines[i]['union'] for lines in a.lines
        ) / len(a.lines)
        other = b.lines[0][i]['intersection'] / b.lines[0][i]['union']
        wins += own - other > 0.1
        losses += other - own > 0.1
    assert (result.wins, result.losses) == (wins, losses)
    assert result.wins > result.losses > 0 and result.ties == 40 - wins - losses
    assert duel(a, a, 0).ties == 40
    with pytest.raises(ValueError, match='must be in 0...1, not 5'):
        duel(a, b, 5)


def test_table(load):
    a, b, c = load(30, a=[0.7, 0.6], b=[0.5], c=[0.5])
    table = breakdown_table(
        'type', [a, b, c], group_expressions(a)['expression type'], 0.05
    )
    assert table.columns == [
        'type', 'expressions', 'a mIoU', 'a oIoU', 'b mIoU', 'b oIoU', 'c mIoU',
        'c oIoU', 'b win / tie / loss', 'c win / tie / loss',
    ]  # fmt: skip
    everything = table.rows[0]
    assert everything[:3] == ('all', 30, score(a)['mIoU'])
    assert everything[8] == str(duel(b, a, 0.05))
    assert sum(row[1] for row in table.rows[1:]) == 30
    relations = next(row for row in table.rows if row[0] == 'relation')
    chosen = [
        x for x in b.expressions if x['expression'] == 'the dam left of the small ship'
    ]
    assert relations[1] == len(chosen) == 6
    union = sum(x['union'] for x in chosen)
    expected = 100 * sum(x['intersection'] for x in chosen) / union
    assert relations[5].mean == pytest.approx(expected)
