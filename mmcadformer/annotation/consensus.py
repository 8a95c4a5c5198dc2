# SPDX-License-Identifier: Apache-2.0
"""One decision per item from several annotators (paper Sec. III-A, step 2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from .review_state import DECISIONS, Decision, Review

RULES = ('unanimous', 'majority')


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
    final: frozenset[str] = field(default_factory=frozenset)


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
    if rule not in RULES:
        raise ValueError(f'rule must be one of {RULES}, got {rule!r}')
    votes = _votes(reviews)
    panel = _votes(final)
    for item, decided in panel.items():
        if len({decision.decision for decision in decided.values()}) > 1:
            raise ValueError(f'the final reviews disagree about item {item!r}')
    decisions, disputed = {}, []
    for item in dict.fromkeys((*votes, *panel)):
        decided = panel.get(item) or votes[item]
        decision = _agreed([vote.decision for vote in decided.values()], rule)
        if decision is None:
            disputed.append(item)
        else:
            decisions[item] = decision
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
        result.append(
            dict(
                annotators=[one, other],
                items=len(pairs),
                agreement=share,
                kappa=kappa,
            )
        )
    return result


def _votes(reviews):
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


def _agreed(decisions, rule):
    decision, count = Counter(decisions).most_common(1)[0]
    needed = len(decisions) if rule == 'unanimous' else len(decisions) // 2 + 1
    return decision if count >= needed else None


def _kappa(pairs):
    if not pairs:
        return None, None
    total = len(pairs)
    observed = sum(one == other for one, other in pairs) / total
    ones, others = Counter(p[0] for p in pairs), Counter(p[1] for p in pairs)
    chance = sum(ones[name] * others[name] for name in DECISIONS) / total**2
    return observed, (observed - chance) / (1 - chance) if chance < 1 else None
