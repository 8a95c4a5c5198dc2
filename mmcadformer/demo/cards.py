# SPDX-License-Identifier: Apache-2.0
"""What the page shows of a result: numbers as HTML, overlay and confidence."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import numpy as np
from PIL import Image, ImageDraw

from ..apis import ReferringResult
from ..visualization.attention import heat_overlay
from ..visualization.overlay import shrink, widen
from ..visualization.text import INK, PAPER, load_font
from .files import Files
from .models import Finding

# Pixels on the longer side of what is shown; files have the picture's own size.
MAX_SHOWN = 1600
# As narrow as overlays may be.
_MIN_WIDTH = 320
_TICKS = (0, 0.25, 0.5, 0.75, 1)
# The scale is what the heat map makes of a mid-grey picture.
_GREY = 128


def title_html(finding: Finding, show_model: bool) -> str:
    """The sentence, and the model where there are several."""
    model = f'<span class="model">{escape(finding.model)}</span>' if show_model else ''
    return f'<h3>{escape(finding.result.expression)}{model}</h3>'


def numbers_html(finding: Finding, files: Files) -> str:
    """Score, area and time, and what the visitor should know."""
    result = finding.result
    pixels, seconds, area = int(result.mask.sum()), finding.seconds, files.area
    duration = f'{seconds:.2f} s' if seconds >= 0.995 else f'{1000 * seconds:.0f} ms'
    together = f'for {finding.sentences} sentences' if finding.sentences > 1 else ''
    facts = [
        ('score', f'{result.score:.3f}', 'mean confidence inside the mask'),
        ('area', f'{pixels:,} px', f'{pixels / result.mask.size:.1%} of the picture'),
        ('time', duration, together),
    ]
    if area is not None:
        metres = f'{area:,.1f} m²' if area < 1000 else f'{area:,.0f} m²'
        facts.insert(2, ('on the ground', metres, ''))
    remarks = []
    if not pixels:
        remarks.append(
            'Nothing found: no pixel is more likely on the object than beside it.'
        )
    if finding.cut is not None:
        remarks.append(
            f'The sentence is longer than the model can read. It read “{finding.cut}”; '
            'the rest was cut off.'
        )
    cells = ''.join(
        f'<div class="{name.replace(" ", "-")}"><dt>{name}</dt><dd>{value}'
        f'<small>{remark}</small></dd></div>'
        for name, value, remark in facts
    )
    notes = ''.join(message_html(remark, 'note') for remark in remarks)
    return f'<dl class="numbers">{cells}</dl>{notes}'


def message_html(text: str, kind: str) -> str:
    """A message for the visitor, whose kind is 'error' or 'note'."""
    role = 'alert' if kind == 'error' else 'status'
    return f'<p class="message {kind}" role="{role}">{escape(text)}</p>'


def shown_size(image: np.ndarray) -> np.ndarray:
    """The image, reduced if it is larger than what is shown."""
    return shrink(image, MAX_SHOWN)


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
    heat = widen(heat_overlay(shown.image, shown.probability), _MIN_WIDTH)
    scale = _draw_scale(heat.shape[1], overlay.shape[0] - heat.shape[0])
    return overlay, np.concatenate([heat, scale])


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
