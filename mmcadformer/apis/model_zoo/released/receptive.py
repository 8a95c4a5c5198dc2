# SPDX-License-Identifier: Apache-2.0
"""Tells the one-channel layers of RMSIN's receptive branch apart."""

from collections import defaultdict
from collections.abc import Sequence

from .units import Unit

_POINT, _AREA = (1, 1), (1, 1, 3, 3)
_PER_STEP = 7  # two 1x1 convolutions, one 3x3, four batch norms


def arrange_receptive(units: Sequence[Unit]) -> list[Unit]:
    """Put the branch's layers in the order of their description.

    Each of its two steps is: 1x1 convolution and norm; 1x1 convolution, norm, 3x3
    convolution and norm; a norm alone. The names decide if each of the three sits
    under a name of its own; else the 1x1 convolution right before the 3x3 belongs to
    it, and norms belong to the convolution they follow.

    Args:
        units: Layers of a stage, or of anything else.

    Returns:
        The same layers, those of the branch first if there are any.
    """
    branch = [u for u in units if u.shape in (_POINT, _AREA) or _is_norm(u)]
    if len(branch) != 2 * _PER_STEP:
        return list(units)
    others = [u for u in units if u not in branch]
    return [u for step in _split_steps(branch) for u in _arrange(step)] + others


def _is_norm(unit: Unit) -> bool:
    return unit.kind == 'bn' and unit.shape == (1,)


def _split_steps(branch: list[Unit]) -> list[list[Unit]]:
    """By the first part of the names that makes two halves, else by order."""
    depth = max(u.name.count('.') for u in branch) + 1
    for parts in range(1, depth):
        groups = list(_group(branch, parts).values())
        if [len(group) for group in groups] == [_PER_STEP] * 2:
            return groups
    return [branch[:_PER_STEP], branch[_PER_STEP:]]


def _group(units: list[Unit], parts: int) -> dict[tuple[str, ...], list[Unit]]:
    groups = defaultdict(list)
    for unit in units:
        groups[tuple(unit.name.split('.')[:parts])].append(unit)
    return groups


def _arrange(step: list[Unit]) -> list[Unit]:
    depth = max(u.name.count('.') for u in step) + 1
    for parts in range(1, depth + 1):
        by_length = {len(g): g for g in _group(step, parts).values()}
        if sorted(by_length) == [1, 2, 4]:
            return [*by_length[2], *by_length[4], *by_length[1]]
    convs = [u for u in step if not _is_norm(u)]
    norms = [u for u in step if _is_norm(u)]
    area = next(u for u in convs if u.shape == _AREA)
    points = [u for u in convs if u is not area]
    # The one right before the 3x3 convolution is of its branch.
    point, inner = points if area is convs[2] else reversed(points)
    after = {u.index - 1: u for u in norms}
    if all(u.index in after for u in convs):
        norm_of = {u.name: after[u.index] for u in convs}
    else:  # convolutions and norms are registered apart
        norm_of = {u.name: norm for u, norm in zip(convs, norms, strict=False)}
    (alone,) = (norm for norm in norms if norm not in norm_of.values())
    return [u for c in (point, inner, area) for u in (c, norm_of[c.name])] + [alone]
