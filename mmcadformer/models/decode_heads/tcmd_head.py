# SPDX-License-Identifier: Apache-2.0
"""The textual-enhanced cross-modal decoder (Sec. IV-C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.registry import MODELS

from .referring_head import ReferringDecodeHead


@MODELS.register_module()
class TCMDHead(ReferringDecodeHead):
    """CADFormer's decoder, Eqs. (10)-(12).

    Levels 3 and 2 attend to the refined language features L_5, whose padding takes
    no part (the released code lets pixels attend to padding). The width, which the
    paper doesn't give, is 512: it reproduces the paper's FLOPs where the released
    768 costs half as much again. All keys are those of :class:`ReferringDecodeHead`.
    """

    def __init__(
        self, rotated: bool = True, text_levels: Sequence[int] = (3, 2), **kwargs: Any
    ) -> None:
        super().__init__(rotated=rotated, text_levels=text_levels, **kwargs)
