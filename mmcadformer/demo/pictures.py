# SPDX-License-Identifier: Apache-2.0
"""The pictures of a result: overlay and confidence."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ..apis import ReferringResult
from ..visualization.attention import heat_overlay
from ..visualization.overlay import widen
from ..visualization.text import INK, PAPER, load_font

# Pixels on the longer side of what is shown; files have the picture's own size.
MAX_SHOWN = 1600
# As narrow as overlays may be.
_MIN_WIDTH = 320
_TICKS = (0, 0.25, 0.5, 0.75, 1)
# The scale is what the heat map makes of a mid-grey picture.
_GREY = 128


def shown_size(image: np.ndarray) -> np.ndarray:
    """The image, reduced if it is larger than what is shown."""
    height, width = image.shape[:2]
    factor = MAX_SHOWN / max(height, width)
    if factor >= 1:
        return image
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def draw_pictures(result: ReferringResult) -> tuple[np.ndarray, np.ndarray]:
    """Draws a result.

    Returns:
        Overlay and confidence with its scale, both RGB uint8 of one size.
    """
    shown = replace(
        result,
        image=shown_size(result.image),
        mask=shown_size(result.mask.astype(np.float32)) > 0.5,
        probability=shown_size(result.probability),
    )
    overlay = shown.overlay()
    return overlay, _draw_confidence(shown, overlay.shape[0])


def _draw_confidence(result: ReferringResult, height: int) -> np.ndarray:
    picture = heat_overlay(result.image, result.probability)
    picture = widen(picture, _MIN_WIDTH)
    scale = _draw_scale(picture.shape[1], height - picture.shape[0])
    return np.concatenate([picture, scale])


def _draw_scale(width: int, height: int) -> np.ndarray:
    """A strip with the colours of the heat map from 0 to 1."""
    strip = Image.new('RGB', (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    font_size = int(np.clip(width / 30, 13, 40))
    labels = [f'{tick:g}' for tick in _TICKS]
    font = load_font(''.join(labels), font_size)
    pad = max(3, font_size // 3)
    bar_height = max(4, min(font_size, height - 2 * pad - round(1.3 * font_size)))
    values = np.linspace(0, 1, width - 4 * pad, dtype=np.float32)
    grey = np.full((bar_height, len(values), 3), _GREY, np.uint8)
    colors = heat_overlay(grey, values[None].repeat(bar_height, axis=0))
    strip.paste(Image.fromarray(colors), (2 * pad, pad))
    for tick, label in zip(_TICKS, labels, strict=True):
        x = 2 * pad + tick * len(values)
        x -= tick * font.getlength(label)
        draw.text((x, pad + bar_height), label, fill=INK, font=font)
    return np.asarray(strip)
