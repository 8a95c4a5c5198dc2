# SPDX-License-Identifier: Apache-2.0
"""Referring results for MMEngine's visualisation backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from ..evaluation.presence import SCORE, decide
from ..utils.files import write_picture
from .overlay import draw_referring_panels


@VISUALIZERS.register_module()
class ReferringVisualizer(SegLocalVisualizer):
    """Shows image, prediction and truth side by side above the expression.

    Works with each of MMEngine's backends (files, TensorBoard, ...). The classes
    and palette of a dataset play no part: a referring mask has one target.

    Args:
        alpha: Opacity of the masks, 0...1.
        min_width: The least width of a panel in pixels.
        **kwargs: Keys of :class:`mmseg.visualization.SegLocalVisualizer`
            (``name``, ``vis_backends``, ``save_dir``, ...).
    """

    def __init__(
        self,
        name: str = 'visualizer',
        alpha: float = 0.45,
        min_width: int = 320,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, alpha=alpha, **kwargs)
        self.min_width = min_width

    def draw_datasample(
        self,
        image: np.ndarray,
        data_sample: SegDataSample,
        draw_gt: bool = True,
        draw_pred: bool = True,
    ) -> np.ndarray:
        """Draws the panels of one sample, RGB uint8 (H', W', 3).

        It holds ``expression`` and, as far as they are known, ``pred_sem_seg`` and
        ``gt_sem_seg`` (1, H, W), of the size of the RGB uint8 image (H, W, 3). Where a
        presence head has found nothing, that is said, and no mask is drawn.
        """
        pred, absence = _mask(data_sample, 'pred_sem_seg') if draw_pred else None, ''
        if pred is not None and SCORE in data_sample:
            absence = decide(data_sample.to_dict()).absence()
            pred = np.zeros_like(pred) if absence else pred
        return draw_referring_panels(
            image,
            data_sample.metainfo.get('expression', ''),
            pred=pred,
            truth=_mask(data_sample, 'gt_sem_seg') if draw_gt else None,
            remark=absence,
            alpha=self.alpha,
            min_width=self.min_width,
        )

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | Path | None = None,
        step: int = 0,
        **kwargs: object,
    ) -> None:
        """Draws one sample, or the image alone, and hands it to all backends.

        The arguments are those of MMSegmentation's method, of which ``kwargs`` don't
        apply here. An ``out_file`` is written instead of using the backends.
        """
        drawn = image
        if data_sample is not None:
            drawn = self.draw_datasample(image, data_sample, draw_gt, draw_pred)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_picture(out_file, mmcv.rgb2bgr(drawn))
        else:
            self.add_image(name, drawn, step)


def _mask(data_sample: SegDataSample, key: str) -> np.ndarray | None:
    if key not in data_sample:
        return None
    return data_sample.get(key).data.squeeze(0).cpu().numpy()
