# SPDX-License-Identifier: Apache-2.0
"""Several annotators: their files, and what they say together."""

import json

import pytest

from mmcadformer.annotation.reviews import (
    Decision,
    Review,
    agreement,
    compare_reviews,
    find_consensus,
    read_review,
    settle,
)
from mmcadformer.annotation.workspace import ItemMask


def review(name, mask='m', **decisions):
    return Review(name, {k: Decision(v, mask) for k, v in decisions.items()}, name)


ANN = review('Ann', a='accept', b='accept', c='fix', d='accept')
BO = review('Bo', a='accept', b='fix', c='reject', e='reject')
CY = review('Cy', a='accept', b='fix', c='accept')


def test_unanimous_leaves_every_difference_to_the_panel():
    result = find_consensus([ANN, BO, CY])
    assert result.decisions == dict(a='accept', d='accept', e='reject')
    assert result.disputed == ['b', 'c']
    assert {n: v.decision for n, v in result.votes['c'].items()} == dict(
        Ann='fix', Bo='reject', Cy='accept'
    )


def test_majority_decides_where_there_is_one():
    result = find_consensus([ANN, BO, CY], 'majority')
    assert result.decisions == dict(a='accept', b='fix', d='accept', e='reject')
    assert result.disputed == ['c']
    assert find_consensus([ANN, BO], 'majority').disputed == ['b', 'c']


def test_the_panel_overrules():
    result = find_consensus([ANN, BO, CY], final=[review('panel', c='fix', b='reject')])
    assert result.disputed == []
    assert (result.decisions['b'], result.decisions['c']) == ('reject', 'fix')
    assert result.final == {'b', 'c'}
    with pytest.raises(ValueError, match="disagree about item 'b'"):
        find_consensus([], final=[review('P', b='fix'), review('Q', b='reject')])


def test_files_of_one_annotator_are_joined_unless_they_contradict():
    result = find_consensus([review('Ann', a='fix'), review('Ann', b='fix')])
    assert result.decisions == dict(a='fix', b='fix')
    with pytest.raises(ValueError, match="both 'accept' and 'fix' about item 'c'"):
        find_consensus([ANN, review('Ann', c='accept')][::-1])


def test_kappa_of_a_known_table():
    # 50 items: both accept 20, both reject 15, 5 and 10 mixed: agreement 0.7,
    # by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5, so kappa is 0.4.
    pairs = [('accept', 'accept')] * 20 + [('accept', 'reject')] * 5
    pairs += [('reject', 'accept')] * 10 + [('reject', 'reject')] * 15
    ones = review('A', **{f'i{k}': one for k, (one, _) in enumerate(pairs)})
    others = review('B', **{f'i{k}': other for k, (_, other) in enumerate(pairs)})
    (pair,) = agreement([ones, others])
    assert pair['annotators'] == ['A', 'B'] and pair['items'] == 50
    assert pair['agreement'] == pytest.approx(0.7)
    assert pair['kappa'] == pytest.approx(0.4)


def test_agreement_without_common_items():
    (pair,) = agreement([review('A', a='fix'), review('B', b='fix')])
    assert (pair['items'], pair['agreement'], pair['kappa']) == (0, None, None)


def test_review_file(tmp_path, save_review):
    path = tmp_path / 'ann.json'
    save_review(path, ANN)
    assert read_review(path).decisions == ANN.decisions
    content = json.loads(path.read_text())
    content['annotator'] = ''
    path.write_text(json.dumps(content))
    assert read_review(path).annotator == 'ann'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(format='other'), "not a 'mmcadformer-review' file"),
        (dict(version=9), 'its version differs'),
        (dict(decisions=[]), "object under 'decisions'"),
        (dict(decisions=dict(a=dict(decision='maybe', mask='m'))), "item 'a'.*maybe"),
        (dict(decisions=dict(a=dict(decision='fix'))), "item 'a'"),
    ],
)
def test_damaged_review_file(tmp_path, save_review, change, message):
    path = tmp_path / 'ann.json'
    save_review(path, ANN)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        read_review(path)


def own_review(workspace, name, items, decisions, masks=None):
    masks = masks or workspace.masks
    pairs = zip(items, decisions, strict=True)
    decided = {item: Decision(said, masks[item].digest) for item, said in pairs}
    return Review(name, decided, f'{name}.json')


def test_reviews_of_something_else_are_refused(workspace):
    with pytest.raises(ValueError, match='x: 1 items that are not in this folder'):
        settle(workspace, [review('x', nothing='accept')])
    item = workspace.items[0].item_id
    with pytest.raises(ValueError, match=f"x: the masks of 1 items, such as '{item}'"):
        settle(workspace, [review('x', **{item: 'accept'})])


def test_a_correction_is_what_the_reviewers_asked_for(workspace):
    ids = [item.item_id for item in workspace.items][:4]
    corrected = {
        item: ItemMask.from_array(~workspace.masks[item].to_array(), corrected=True)
        for item in ids
    }
    first = [
        own_review(workspace, 'Ann', ids, ['fix', 'fix', 'accept', 'reject']),
        own_review(workspace, 'Bo', ids, ['fix', 'accept', 'accept', 'reject']),
    ]
    before = settle(workspace, first)
    assert before.items('fix', ids) == ids[:1]
    assert before.items('disputed', ids) == ids[1:2]
    after = settle(workspace, first, corrected=corrected)
    assert after.items('accept', ids) == ids[:3]
    assert after.items('reject', ids) == ids[3:]
    assert all(after.masks[item] == corrected[item] for item in ids)
    # Who looks at the corrected mask itself has the last word.
    second = own_review(workspace, 'Cy', [ids[0], ids[2]], ['fix', 'reject'], corrected)
    final = settle(workspace, [*first, second], corrected=corrected)
    assert final.items('fix', ids) == ids[:1]
    assert final.items('reject', ids) == ids[2:]


def test_comparison(workspace):
    one, other = (item.item_id for item in workspace.items[:2])
    report = compare_reviews(
        workspace,
        [
            own_review(workspace, 'Ann', [one, other], ['accept', 'fix']),
            own_review(workspace, 'Bo', [one, other], ['accept', 'reject']),
        ],
    )
    assert report['agreement'][0]['agreement'] == 0.5
    assert list(report['disputed']) == [other]
    assert [vote['decision'] for vote in report['disputed'][other]] == ['fix', 'reject']
