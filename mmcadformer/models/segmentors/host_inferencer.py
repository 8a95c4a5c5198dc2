# SPDX-License-Identifier: Apache-2.0
"""What MMSegmentation's own inferencer says to a referring model."""

from __future__ import annotations

from functools import wraps
from typing import Any

from mmseg.apis import MMSegInferencer

from .referring_segmentor import ReferringSegmentor

_prepare = MMSegInferencer._init_pipeline


@wraps(_prepare)
def _init_pipeline(self: MMSegInferencer, cfg: Any) -> Any:
    """Refuses a model that needs expressions, which this inferencer can't be given.

    The host has no hook for it: it would look for ``LoadImageFromFile`` in the test
    pipeline and, not finding it, speak of the pipeline.

    Raises:
        ValueError: The model is a referring one; the message names what takes it.
    """
    if isinstance(self.model, ReferringSegmentor):
        raise ValueError(
            'MMSegInferencer gives no expression to the model, and '
            f'{type(self.model).__name__} needs one: use '
            'mmcadformer.apis.ReferringInferencer(CONFIG, CHECKPOINT)'
        )
    return _prepare(self, cfg)


def refuse_referring_models() -> None:
    """Has ``MMSegInferencer`` refuse referring models; others it takes as before."""
    MMSegInferencer._init_pipeline = _init_pipeline
