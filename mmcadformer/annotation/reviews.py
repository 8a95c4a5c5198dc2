# SPDX-License-Identifier: Apache-2.0
"""What annotators say about masks, alone and together (paper Sec. III-A, step 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from ..utils.files import read_json

FORMAT = 'mmcadformer-review'
VERSION = 1
ACCEPT, FIX, REJECT = DECISIONS = ('accept', 'fix', 'reject')
CONSENSUS_RULES = ('unanimous', 'majority')


@dataclass(frozen=True)
class Decision:
    """What one annotator said about one mask.

    Attributes:
        decision: 'accept', 'fix' (the mask must be corrected) or 'reject' (the
            item is left out).
        mask: Fingerprint of the mask that was looked at.
        note: A remark.
    """

    decision: str
    mask: str
    note: str = ''

    def __post_init__(self) -> None:
        if self.decision not in DECISIONS:
            raise ValueError(
                f'decision must be one of {DECISIONS}, got {self.decision!r}'
            )
        if not isinstance(self.mask, str) or not isinstance(self.note, str):
            raise ValueError('mask and note must be text')


@dataclass(frozen=True)
class Review:
    """All decisions of an annotator.

    Attributes:
        annotator: Name of the annotator.
        decisions: Decisions by item.
        path: File they are from.
    """

    annotator: str
    decisions: Mapping[str, Decision]
    path: str = ''


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
            raise ValueError(f'{path}: item {item_id!r}: {error}') from None
    name = content.get('annotator') or Path(path).stem
    return Review(str(name), decisions, str(path))


def check_review(review: Review, masks: Mapping[str, set[str]]) -> None:
    """Raises ValueError for a review of other items, or of masks that have changed.

    Args:
        review: The review.
        masks: Fingerprints of the masks that each item has or had.
    """
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
    """What several annotators say together.

    Attributes:
        decisions: Decision by item, where there is one.
        votes: Decision by annotator, for each item that anyone decided.
        disputed: Items without a decision, because annotators differ.
        final: Items that the panel decided.
    """

    decisions: Mapping[str, str]
    votes: Mapping[str, Mapping[str, Decision]]
    disputed: Sequence[str]
    final: frozenset[str] = frozenset()


def find_consensus(
    reviews: Sequence[Review],
    rule: str = 'unanimous',
    final: Sequence[Review] = (),
) -> Consensus:
    """Joins reviews.

    Annotators who said nothing about an item don't count for it.

    Args:
        reviews: One or more per annotator; the paper has three annotators.
        rule: 'unanimous': any difference is a dispute, for the panel to decide
            (the paper's consensus process); 'majority': what more than half of
            those who decided say.
        final: The panel's decisions, which overrule the others.

    Returns:
        The consensus. Items are in the order in which they first occur.

    Raises:
        ValueError: The rule is unknown, or an annotator contradicts himself.
    """
    if rule not in CONSENSUS_RULES:
        raise ValueError(f'rule must be one of {CONSENSUS_RULES}, got {rule!r}')
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
        share, kappa = _kappa(
            [by_name[one][item] for item in common],
            [by_name[other][item] for item in common],
        )
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


def _kappa(
    ones: Sequence[str], others: Sequence[str]
) -> tuple[float | None, float | None]:
    """Share of equal decisions, and Cohen's kappa."""
    if not ones:
        return None, None
    total = len(ones)
    equal = sum(one == other for one, other in zip(ones, others, strict=True))
    observed = equal / total
    counts = Counter(ones), Counter(others)
    chance = sum(counts[0][name] * counts[1][name] for name in DECISIONS) / total**2
    return observed, (observed - chance) / (1 - chance) if chance < 1 else None
