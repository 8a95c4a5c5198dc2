# SPDX-License-Identifier: Apache-2.0
"""The decision whether what a sentence names is there at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

SCORE, THRESHOLD = 'presence_score', 'presence_threshold'
"""Of data samples: how sure a presence head is, 0 to 1, and from where it is there."""

# Share of a picture's pixels that the score looks at: 115 of 480 x 480.
TOP_SHARE = 0.0005
DEFINITION = (
    f'mean of the {TOP_SHARE:%} highest probabilities among the pixels with data '
    'of a tile'
)
HEAD_DEFINITION = "score of the model's presence head"


def presence_score(probabilities: np.ndarray, valid: np.ndarray) -> float:
    """How sure a network without a presence head is that the object is there.

    The ``DEFINITION`` says how: a single bright pixel doesn't decide, and neither does
    the object's size. From probabilities 0...1 and where there are data, both (H, W); 0
    without any data.
    """
    values = probabilities[valid]
    if not values.size:
        return 0.0
    count = min(values.size, max(1, round(TOP_SHARE * probabilities.size)))
    top = np.partition(values, values.size - count)[values.size - count :]
    return float(top.mean(dtype=np.float64))


class Decision(NamedTuple):
    """Whether there is a target, and what that was decided by."""

    found: bool
    score: float  # 0 to 1
    threshold: float | None  # of a presence head; None: the mask decides

    def absence(self) -> str:
        """What is said where a presence head finds nothing, such as 'not found (0.03)'.

        Empty where there is a target, or no head.
        """
        denied = self.threshold is not None and not self.found
        return f'not found ({self.score:.2f})' if denied else ''


def decide(sample: dict[str, Any], threshold: float | None = None) -> Decision:
    """Decides on a predicted data sample, as a dict.

    A presence head's score decides by its threshold, or by the one that is given;
    without a head, an empty mask (``pred_sem_seg``) says that there is nothing, and the
    score is that of the mask's probabilities (``seg_logits``).
    """
    if SCORE in sample:
        score = float(sample[SCORE])
        limit = float(sample.get(THRESHOLD, 0.5)) if threshold is None else threshold
        return Decision(score >= limit, score, limit)
    found = bool((sample['pred_sem_seg']['data'] == 1).any())
    return Decision(found, _score_of_mask(sample, found), None)


def _score_of_mask(sample: dict[str, Any], found: bool) -> float:
    if 'seg_logits' not in sample:
        return float(found)
    logits = sample['seg_logits']['data'].float()
    target = (logits[1] - logits[0]).sigmoid().cpu().numpy()
    return presence_score(target, np.ones(target.shape, bool))


class Calibration(NamedTuple):
    """A threshold and how well it does."""

    threshold: float  # tiles with a lower score count as empty
    recall: float  # share of the examples with the object that stay: T-acc
    false_alarms: float  # share of those without it that stay, too: 1 - N-acc
    auroc: float  # how often an example with the object has the higher score


def choose_threshold(
    present: Sequence[float],
    absent: Sequence[float],
    max_false_alarms: float | None = None,
    min_recall: float | None = None,
) -> Calibration:
    """The threshold that tells scores with and without the object apart.

    It is the lowest that lets at most a share ``max_false_alarms`` of the empty
    examples pass, or the highest that keeps at least a share ``min_recall`` of the
    others, by default the one with the best mean of recall and rejection. A ValueError
    says that there are no scores, or that a share can't be used.
    """
    check_shares(max_false_alarms, min_recall)
    high, low = np.sort(present), np.sort(absent)
    if not len(high) or not len(low):
        raise ValueError('scores of both kinds are needed to choose a threshold')
    scores = np.unique(np.concatenate([high, low]))
    # Between neighbouring scores, so that neither lies on the threshold.
    candidates = np.concatenate([[0.0], (scores[:-1] + scores[1:]) / 2, [1.0]])
    recall, alarms = (
        (len(kind) - np.searchsorted(kind, candidates)) / len(kind)
        for kind in (high, low)
    )
    if min_recall is not None:
        index = np.flatnonzero(recall >= min_recall)[-1]
    elif max_false_alarms is None:
        merit = recall - alarms
        best = np.flatnonzero(merit == merit.max())
        index = best[len(best) // 2]
    elif alarms[-1] > max_false_alarms:
        raise ValueError(
            f'max_false_alarms {max_false_alarms} cannot be kept: {alarms[-1]:.1%} of '
            'the empty examples have the highest score there is'
        )
    else:
        index = np.flatnonzero(alarms <= max_false_alarms)[0]
    found = (candidates[index], recall[index], alarms[index], auroc(high, low))
    return Calibration(*map(float, found))


def check_shares(max_false_alarms: float | None, min_recall: float | None) -> None:
    """Refuses shares outside 0...1, and both at once, by a ValueError."""
    shares = dict(max_false_alarms=max_false_alarms, min_recall=min_recall)
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f'{name} {share} is out of range: 0...1')
    if None not in shares.values():
        raise ValueError('max_false_alarms and min_recall exclude each other')


def auroc(present: npt.ArrayLike, absent: npt.ArrayLike) -> float:
    """How often a score with the object is higher; equal ones count half."""
    high, low = np.asarray(present), np.sort(absent)
    below = np.searchsorted(low, high, side='left')
    not_above = np.searchsorted(low, high, side='right')
    return float((below + not_above).mean() / (2 * len(low)))
