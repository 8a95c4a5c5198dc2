# SPDX-License-Identifier: Apache-2.0
"""What changes on the page, in the order of the layout's components.

What has no content is hidden by the style sheet: Gradio forgets to show a component
again that was told to hide before it was ever shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
import numpy as np

from .cards import message_html, numbers_html, title_html
from .files import Files
from .models import Finding
from .pictures import draw_pictures

# title, numbers, overlay, confidence, mask, GeoJSON, GeoTIFF
CARD_PARTS = 7


@dataclass(frozen=True)
class Start:
    """What a picture brings onto the page.

    Attributes:
        source: Its file, or None.
        preview: RGB uint8, or None.
        message: HTML.
        sentence: To begin with, in place of those that are there; None leaves them.
        suggestions: Sentences to choose from.
    """

    source: str | None = None
    preview: np.ndarray | None = None
    message: str = ''
    sentence: str | None = None
    suggestions: tuple[str, ...] = ()


def show_start(start: Start) -> list:
    """Source, preview, message, both sentences and suggestions."""
    keep = start.sentence is None
    return [
        start.source,
        start.preview,
        start.message,
        gr.skip() if keep else start.sentence,
        gr.skip() if keep else '',
        gr.update(choices=list(start.suggestions), value=None),
    ]


def show_cards(cards: list[list], room: int) -> list:
    """Message, results and explanation.

    Args:
        cards: From :func:`show_card`.
        room: How many the page has.
    """
    hidden = _no_cards(room - len(cards))
    return ['', *sum(cards, []), *hidden, *_no_explanation()]


def show_card(finding: Finding, files: Files, show_model: bool) -> list:
    """One result."""
    overlay, heat = draw_pictures(finding.result)
    return [
        title_html(finding, show_model),
        numbers_html(finding, files),
        overlay,
        heat,
        str(files.mask),
        gr.update(
            value=str(files.geojson),
            label='↓ GeoJSON' if files.geotiff else '↓ GeoJSON (pixels)',
        ),
        files.geotiff and str(files.geotiff),
    ]


def show_no_card(message: str, kind: str, room: int) -> list:
    """A message in place of results; see :func:`message_html`."""
    html = message_html(message, kind) if message else ''
    return [html, *_no_cards(room), *_no_explanation()]


def show_explanation(picture: np.ndarray) -> list:
    """Message and picture of an explanation."""
    return ['', picture]


def show_no_explanation(message: str) -> list:
    """Why there is none."""
    return _no_explanation(message_html(message, 'error'))


def _no_cards(count: int) -> list:
    return [None] * (CARD_PARTS * count)


def _no_explanation(message: str = '') -> list:
    return [message, None]
