# SPDX-License-Identifier: Apache-2.0
"""Heat maps of words on an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .overlay import shrink

# Inches: a map on its longer side, row titles, a line of text, the text on top.
_CELL, _TITLE, _LINE, _CAPTION = 1.35, 1.1, 0.3, 5.2
# Inches: room of a map at least, for the titles; the result at most, its text at least.
_LEAST, _RESULT, _TEXT = (0.95, 0.35), (2.6, 3.3), 1.1
_DPI = 110
_SIDE = 2 * round(_CELL * _DPI)  # pixels, of the image under the maps
_HOTTEST = 99  # percentile
# Opacity of the hottest and the coldest spots.
_HOT, _COLD = 0.75, 0.25
_EXPLANATION = """\
pixels → words: how much of each place's attention goes to the word.
words → pixels: how much of the word's attention goes to each place.
Bright is much, dark is little; one scale per row.
stands out: the word, by its colour, that gets more there than elsewhere."""


class AttentionRow(NamedTuple):
    """One row of the grid."""

    title: str
    maps: np.ndarray  # float (words, h, w), not negative
    # Of the maps' height and width, what the image takes, from the upper left corner.
    image_share: tuple[float, float] = (1.0, 1.0)


def draw_word_attention(
    image: np.ndarray,
    overlay: np.ndarray,
    words: Sequence[str],
    rows: Sequence[AttentionRow],
) -> np.ndarray:
    """Draws a grid of heat maps, one column per word, with the result on top.

    All maps of a row have one scale, from its weakest to nearly its strongest spot:
    the hottest of a hundred may be hotter than the scale shows, or they alone would be
    seen. The last column colours each place by the word that stands out most there,
    against what that word gets on average; the words' colours are beside their names.
    All pictures are RGB uint8 (H, W, 3); the ``overlay`` with the result has any size.
    """
    image = shrink(image, _SIDE)  # sharp enough for the cells of the grid
    height, width = image.shape[:2]
    cell = np.array([width, height]) * _CELL / max(width, height)
    cell = np.maximum(cell, _LEAST)
    result = np.array(overlay.shape[1::-1])
    result = np.maximum(result * (_RESULT / result).min(), 0.05)
    top = max(result[1], _TEXT) + 0.1
    grid_width = _TITLE + (len(words) + 1) * cell[0] + 0.1
    canvas = _Canvas(
        max(grid_width, result[0] + _CAPTION + 0.5),
        top + 2 * _LINE + len(rows) * (cell[1] + 0.08),
    )
    canvas.place(0.1, 0.1, *result).imshow(overlay)
    axes = canvas.place(0.4 + result[0], 0.1, _CAPTION, top - 0.1)
    axes.text(0, 1, _EXPLANATION, ha='left', va='top', fontsize=9, linespacing=1.6)
    colors = _word_colors(len(words))
    lefts = [_TITLE + column * cell[0] for column in range(len(words) + 1)]
    titles = zip(lefts, [*words, 'stands out'], [*colors, (0, 0, 0)], strict=True)
    for left, title, color in titles:
        axes = canvas.place(left, top + _LINE, cell[0], _LINE)
        axes.text(
            0.5, 0.3, _short(title), ha='center', color=color, weight='bold', fontsize=9
        )
    for number, row in enumerate(rows):
        upper = top + 2 * _LINE + number * (cell[1] + 0.08)
        axes = canvas.place(0, upper, _TITLE, cell[1])
        axes.text(0.5, 0.5, row.title, ha='center', va='center', fontsize=8)
        scale = row.maps.min(), np.percentile(row.maps, _HOTTEST)
        pictures = [
            heat_overlay(image, heat, *scale, row.image_share) for heat in row.maps
        ]
        pictures.append(_strongest_word(image, row, colors))
        for left, picture in zip(lefts, pictures, strict=True):
            canvas.place(left, upper, cell[0] - 0.05, cell[1]).imshow(picture)
    return canvas.pixels()


class _Canvas:
    """A figure on which places are given in inches from the upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=_DPI)
        self.canvas = FigureCanvasAgg(self.figure)

    def place(self, left: float, upper: float, width: float, height: float) -> Axes:
        """Axes without a frame."""
        bottom = 1 - (upper + height) / self.height
        size = width / self.width, height / self.height
        axes = self.figure.add_axes((left / self.width, bottom, *size))
        axes.axis('off')
        return axes

    def pixels(self) -> np.ndarray:
        """RGB uint8."""
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


def heat_overlay(
    image: np.ndarray,
    heat: np.ndarray,
    lowest: float = 0.0,
    highest: float = 1.0,
    image_share: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Lays a heat map (h, w) over an RGB uint8 image (H, W, 3) made grey.

    ``lowest`` and ``highest`` get the coldest and the hottest colour; ``image_share``
    is that of :class:`AttentionRow`.
    """
    span = max(highest - lowest, 1e-12)
    heat = np.clip((heat - lowest) / span, 0, 1).astype(np.float32)
    heat = _enlarge(heat, image, image_share, cv2.INTER_LINEAR)
    colors = matplotlib.colormaps['inferno'](heat)[..., :3]
    alpha = (_COLD + (_HOT - _COLD) * heat)[..., None]
    mixed = (1 - alpha) * _grey(image) + alpha * colors
    return np.rint(255 * np.clip(mixed, 0, 1)).astype(np.uint8)


def _enlarge(
    heat: np.ndarray,
    image: np.ndarray,
    image_share: tuple[float, float],
    interpolation: int,
) -> np.ndarray:
    """A map (h, w) as (H, W): enlarged with its padding, which is cut off then."""
    height, width = image.shape[:2]
    size = round(width / image_share[1]), round(height / image_share[0])
    return cv2.resize(heat, size, interpolation=interpolation)[:height, :width]


def _strongest_word(
    image: np.ndarray, row: AttentionRow, colors: np.ndarray
) -> np.ndarray:
    """Colours places by the word that gets the most against its own average."""
    average = row.maps.mean(axis=(1, 2), keepdims=True)
    relative = row.maps / np.maximum(average, 1e-12)
    word = relative.argmax(axis=0).astype(np.uint8)
    word = _enlarge(word, image, row.image_share, cv2.INTER_NEAREST)
    mixed = 0.45 * _grey(image) + 0.55 * colors[word]
    return np.rint(255 * mixed).astype(np.uint8)


def _grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 1), 0...1."""
    return image.mean(axis=2, keepdims=True) / 255


def _word_colors(count: int) -> np.ndarray:
    """RGB (count, 3) in 0...1, dark enough for text, neighbours far apart."""
    hues = (np.arange(count) * 0.618034) % 1
    hsv = np.stack([hues, np.full(count, 0.9), np.full(count, 0.75)], axis=1)
    return matplotlib.colors.hsv_to_rgb(hsv)


def _short(word: str, limit: int = 14) -> str:
    word = word if len(word) <= limit else word[: limit - 1] + '…'
    return word.replace('$', r'\$')  # which would begin a formula
