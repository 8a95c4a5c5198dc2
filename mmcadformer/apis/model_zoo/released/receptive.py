# SPDX-License-Identifier: Apache-2.0
"""Tells the one-channel layers of RMSIN's receptive branch apart."""

from __future__ import annotations

from collections.abc import Sequence

from .units import Unit

_POINT, _AREA = (1, 1), (1, 1, 3, 3)
_PER_STEP = 7  # two 1x1 convolutions, one 3x3, four batch norms


def arrange_receptive(units: Sequence[Unit]) -> list[Unit]:
    """Put the branch's layers in the order of their description.

    Each of its two steps is: 1x1 convolution and norm; 1x1 convolution, norm, 3x3
    convolution and norm; a norm alone. Whichever of the three is registered first, the
    1x1 convolution right before the 3x3 belongs to it, and norms belong to the
    convolution they follow.

    Args:
        units: Layers of a stage, or of anything else, in the order of the file.

    Returns:
        The same layers, those of the branch first if there are any.
    """
    branch = [u for u in units if u.shape in (_POINT, _AREA) or _is_norm(u)]
    if len(branch) != 2 * _PER_STEP:
        return list(units)
    others = [u for u in units if u not in branch]
    return [*_arrange(branch[:_PER_STEP]), *_arrange(branch[_PER_STEP:]), *others]


def _is_norm(unit: Unit) -> bool:
    return unit.kind == 'bn' and unit.shape == (1,)


def _arrange(step: list[Unit]) -> list[Unit]:
    convs = [u for u in step if not _is_norm(u)]
    norms = {u.index: u for u in step if _is_norm(u)}
    if [u.shape for u in convs].count(_AREA) != 1 or len(convs) != 3:
        return step
    area = next(u for u in convs if u.shape == _AREA)
    points = [u for u in convs if u is not area]
    point, inner = points if area is convs[2] else reversed(points)
    arranged = []
    for conv in (point, inner, area):
        norm = norms.pop(conv.index + 1, None)
        arranged += [conv] if norm is None else [conv, norm]
    return [*arranged, *norms.values()]
