# SPDX-License-Identifier: Apache-2.0
"""Where items stand after review, and what becomes of corrected masks."""

import pytest

from mmcadformer.annotation import (
    Decision,
    Review,
    compare_reviews,
    settle,
)
from mmcadformer.annotation.mask_store import ItemMask


def review(name, mask='m', **decisions):
    return Review(name, {k: Decision(v, mask) for k, v in decisions.items()}, name)


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
