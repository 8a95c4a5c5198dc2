# SPDX-License-Identifier: Apache-2.0
"""Pictures of an expression, what the model found, and the truth."""

from .overlay import (
    draw_referring_overlay,
    draw_referring_panels,
    draw_titled_panels,
    mask_iou,
)
from .visualizer import ReferringVisualizer

__all__ = [
    'ReferringVisualizer',
    'draw_referring_overlay',
    'draw_referring_panels',
    'draw_titled_panels',
    'mask_iou',
]
