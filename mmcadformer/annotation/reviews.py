# SPDX-License-Identifier: Apache-2.0
"""What annotators say about masks, alone and together (paper Sec. III-A, step 2).

And where every item stands once they have said it, and masks are corrected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from ..utils.files import read_json
from ..utils.plain_data import shorten
from ..utils.text import check_choice
from .workspace import ItemMask, Workspace

FORMAT = 'mmcadformer-review'
VERSION = 1
ACCEPT, FIX, REJECT = DECISIONS = ('accept', 'fix', 'reject')
CONSENSUS_RULES = ('unanimous', 'majority')


@dataclass(frozen=True)
class Decision:
    """What one annotator said about one mask."""

    decision: str  # 'fix': the mask must be corrected; 'reject': the item is left out
    mask: str  # fingerprint of the mask that was looked at
    note: str = ''

    def __post_init__(self) -> None:
        check_choice('decision', self.decision, DECISIONS)
        if not isinstance(self.mask, str) or not isinstance(self.note, str):
            raise ValueError('mask and note must be text')


@dataclass(frozen=True)
class Review:
    """All decisions of an annotator, by item."""

    annotator: str
    decisions: Mapping[str, Decision]
    path: str = ''  # the file that they are from


def read_review(path: Path) -> Review:
    """Reads a file that the review page saved.

    An annotator without a name is called by the file's.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or another kind of file.
    """
    content = read_json(path, FORMAT, VERSION)
    entries = content.get('decisions')
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: expected an object under 'decisions'")
    decisions = {}
    for item_id, entry in entries.items():
        try:
            decisions[item_id] = Decision(**entry)
        except (TypeError, ValueError) as error:
            reason = str(error)[:200]
            raise ValueError(f'{path}: item {shorten(item_id)}: {reason}') from None
    name = content.get('annotator') or Path(path).stem
    return Review(str(name), decisions, str(path))


def _check_review(review: Review, masks: Mapping[str, set[str]]) -> None:
    """Refuses a review of other items, or of masks that an item never had."""
    unknown = [item for item in review.decisions if item not in masks]
    if unknown:
        raise ValueError(
            f'{review.path}: {len(unknown)} items that are not in this folder, '
            f'such as {unknown[0]!r}; it is a review of something else'
        )
    changed = [
        item
        for item, decision in review.decisions.items()
        if decision.mask not in masks[item]
    ]
    if changed:
        raise ValueError(
            f'{review.path}: the masks of {len(changed)} items, such as '
            f'{changed[0]!r}, have changed since they were reviewed; load the file '
            'into a new review page and look at these again'
        )


@dataclass(frozen=True)
class Consensus:
    """What several annotators say together."""

    decisions: Mapping[str, str]  # by item, where they agree
    votes: Mapping[str, Mapping[str, Decision]]  # by item and annotator
    disputed: Sequence[str]  # items about which they differ
    final: frozenset[str] = frozenset()  # items that the panel decided


def find_consensus(
    reviews: Sequence[Review],
    rule: str = 'unanimous',
    final: Sequence[Review] = (),
) -> Consensus:
    """Joins reviews; who said nothing about an item doesn't count for it.

    Args:
        reviews: One or more per annotator, of whom the paper has three.
        rule: 'unanimous': any difference is a dispute, for the panel to decide
            (the paper's consensus process); 'majority': what more than half of
            those who decided say.
        final: The panel's decisions, which overrule the others.

    Returns:
        The consensus, with items in the order in which they first occur.

    Raises:
        ValueError: The rule is unknown, or an annotator contradicts himself.
    """
    check_choice('rule', rule, CONSENSUS_RULES)
    votes, panel = _votes(reviews), _votes(final)
    for item, decided in panel.items():
        if len({decision.decision for decision in decided.values()}) > 1:
            raise ValueError(f'the final reviews disagree about item {item!r}')
    decisions, disputed = {}, []
    for item in dict.fromkeys((*votes, *panel)):
        said = [vote.decision for vote in (panel.get(item) or votes[item]).values()]
        decision, count = Counter(said).most_common(1)[0]
        needed = len(said) if rule == 'unanimous' else len(said) // 2 + 1
        if count >= needed:
            decisions[item] = decision
        else:
            disputed.append(item)
    return Consensus(decisions, {**votes, **panel}, disputed, frozenset(panel))


def agreement(reviews: Sequence[Review]) -> list[dict]:
    """How well each two annotators agree on the items that both decided.

    Returns:
        For each pair: ``annotators``, ``items`` in common, ``agreement`` (share
        of them with equal decisions) and Cohen's ``kappa`` (agreement beyond
        chance); None where they can't be computed.
    """
    by_name: dict[str, dict[str, str]] = {}
    for item, decided in _votes(reviews).items():
        for name, vote in decided.items():
            by_name.setdefault(name, {})[item] = vote.decision
    result = []
    for one, other in combinations(sorted(by_name), 2):
        common = by_name[one].keys() & by_name[other].keys()
        pairs = [(by_name[one][item], by_name[other][item]) for item in common]
        share, kappa = _kappa(pairs)
        pair = dict(annotators=[one, other], items=len(common))
        result.append(dict(pair, agreement=share, kappa=kappa))
    return result


def _votes(reviews: Sequence[Review]) -> dict[str, dict[str, Decision]]:
    votes: dict[str, dict[str, Decision]] = {}
    for review in reviews:
        for item, decision in review.decisions.items():
            earlier = votes.setdefault(item, {}).setdefault(review.annotator, decision)
            if earlier.decision != decision.decision:
                raise ValueError(
                    f'{review.annotator} says both {earlier.decision!r} and '
                    f'{decision.decision!r} about item {item!r}; give each '
                    "annotator's latest file only"
                )
    return votes


def _kappa(pairs: Sequence[tuple[str, str]]) -> tuple[float | None, float | None]:
    """Share of equal decisions, and Cohen's kappa."""
    if not pairs:
        return None, None
    total = len(pairs)
    observed = sum(one == other for one, other in pairs) / total
    ones, others = (Counter(said) for said in zip(*pairs, strict=True))
    chance = sum(ones[name] * others[name] for name in DECISIONS) / total**2
    return observed, (observed - chance) / (1 - chance) if chance < 1 else None


@dataclass(frozen=True)
class Outcome:
    """Where every item stands after review and correction."""

    masks: Mapping[str, ItemMask]  # by item, the corrected one where there is one
    consensus: Consensus
    corrected: frozenset[str]  # items

    def state(self, item_id: str) -> str:
        """'accept', 'fix', 'reject', 'disputed' or 'undecided'."""
        without = 'disputed' if item_id in self.consensus.votes else 'undecided'
        return self.consensus.decisions.get(item_id, without)

    def items(self, which: str, item_ids: Sequence[str]) -> list[str]:
        """Those of the items that are in a state, or are 'corrected', or 'all'."""
        if which == 'all':
            return list(item_ids)
        if which == 'corrected':
            return [item for item in item_ids if item in self.corrected]
        return [item for item in item_ids if self.state(item) == which]

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
    asked for. Decisions about the corrected mask itself go before them. ``reviews``,
    ``rule`` and ``final`` are those of :func:`find_consensus`.

    Raises:
        ValueError: A review is about something else.
    """
    corrected = corrected or {}
    masks = {item.item_id: workspace.masks[item.item_id] for item in workspace.items}
    known = {key: {mask.digest} for key, mask in masks.items()}
    for key, mask in corrected.items():
        known[key].add(mask.digest)
    for review in (*reviews, *final):
        _check_review(review, known)
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
    """``agreement`` of each two annotators, and ``disputed`` items with all votes.

    Raises:
        ValueError: A review is about something else.
    """
    outcome = settle(workspace, reviews)
    return dict(
        agreement=agreement(reviews),
        disputed={item: outcome.votes(item) for item in outcome.consensus.disputed},
    )
