# SPDX-License-Identifier: Apache-2.0
"""Where every item stands once people have looked at its mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .mask_store import ItemMask
from .reviews import (
    ACCEPT,
    REJECT,
    Consensus,
    Decision,
    Review,
    agreement,
    check_review,
    find_consensus,
)
from .workspace import Workspace


@dataclass(frozen=True)
class Outcome:
    """Where every item stands after review and correction.

    Attributes:
        masks: Mask by item, the corrected one where there is one.
        consensus: What the annotators say.
        corrected: Items with a corrected mask.
    """

    masks: Mapping[str, ItemMask]
    consensus: Consensus
    corrected: frozenset[str]

    def items(self, state: str, item_ids: Sequence[str]) -> list[str]:
        """Items in one state.

        Args:
            state: 'accept', 'fix', 'reject', 'disputed', 'undecided', 'corrected'
                or 'all'.
            item_ids: Items to choose from.
        """
        decided, disputed = self.consensus.decisions, self.consensus.disputed
        chosen = {
            'all': set(item_ids),
            'corrected': self.corrected,
            'disputed': set(disputed),
            'undecided': set(item_ids) - decided.keys() - set(disputed),
        }
        if state in chosen:
            return [item for item in item_ids if item in chosen[state]]
        return [item for item in item_ids if decided.get(item) == state]

    def votes(self, item_id: str) -> list[dict[str, str]]:
        """Decision and note of each annotator about an item."""
        return [
            dict(annotator=name, decision=vote.decision, note=vote.note)
            for name, vote in sorted(self.consensus.votes.get(item_id, {}).items())
        ]


def settle(
    workspace: Workspace,
    reviews: Sequence[Review] = (),
    final: Sequence[Review] = (),
    corrected: Mapping[str, ItemMask] | None = None,
    rule: str = 'unanimous',
) -> Outcome:
    """Joins reviews and corrections.

    A corrected mask replaces the one of SAM. Decisions about the mask before it
    still count if they reject the item; otherwise the correction is what they
    asked for. Decisions about the corrected mask itself go before them.

    Args:
        workspace: Items and masks.
        reviews: One or more per annotator.
        final: Decisions of the panel about what annotators dispute.
        corrected: Corrected mask by item.
        rule: 'unanimous' or 'majority', see :func:`find_consensus`.

    Raises:
        ValueError: A review is about something else.
    """
    corrected = corrected or {}
    masks = {item.item_id: workspace.masks[item.item_id] for item in workspace.items}
    known = {key: {mask.digest} for key, mask in masks.items()}
    for key, mask in corrected.items():
        known[key].add(mask.digest)
    for review in (*reviews, *final):
        check_review(review, known)
    reviews = _after_correction(reviews, corrected)
    final = _after_correction(final, corrected)
    return Outcome(
        masks={**masks, **corrected},
        consensus=find_consensus(reviews, rule, final),
        corrected=frozenset(corrected),
    )


def _after_correction(
    reviews: Sequence[Review], corrected: Mapping[str, ItemMask]
) -> list[Review]:
    """Reviews with the decisions that still hold for corrected masks."""
    looked_at = {
        item
        for review in reviews
        for item, decision in review.decisions.items()
        if item in corrected and decision.mask == corrected[item].digest
    }

    def update(item: str, decision: Decision) -> Decision | None:
        if item not in corrected or decision.mask == corrected[item].digest:
            return decision
        if item in looked_at:
            return None
        if decision.decision == REJECT:
            return decision
        return replace(decision, decision=ACCEPT)

    result = []
    for review in reviews:
        updated = {item: update(item, d) for item, d in review.decisions.items()}
        kept = {item: decision for item, decision in updated.items() if decision}
        result.append(replace(review, decisions=kept))
    return result


def compare_reviews(workspace: Workspace, reviews: Sequence[Review]) -> dict:
    """Tells where annotators differ.

    Returns:
        ``agreement`` of each two annotators, and ``disputed`` items with
        everyone's decisions.

    Raises:
        ValueError: A review is about something else.
    """
    outcome = settle(workspace, reviews)
    return dict(
        agreement=agreement(reviews),
        disputed={item: outcome.votes(item) for item in outcome.consensus.disputed},
    )
