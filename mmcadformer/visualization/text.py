# SPDX-License-Identifier: Apache-2.0
"""Wrapped text on a strip of its own, for any language and width.

OpenCV's built-in letters are ASCII only, so text is drawn by Pillow with the
DejaVu font that matplotlib brings along, or with an installed font where DejaVu
lacks the glyphs (Chinese, for example). Where none has them, a warning says so once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager, ft2font
from PIL import Image, ImageDraw, ImageFont

from ..utils.log import warn

INK = (25, 25, 25)
PAPER = (255, 255, 255)
Color = tuple[int, int, int]
# A swatch of a legend: its colour and what it stands for.
LegendEntry = tuple[Color | None, str]


def draw_text_strip(
    width: int,
    text: str,
    legend: Sequence[LegendEntry] = (),
    font_size: int = 16,
    max_lines: int = 6,
) -> np.ndarray:
    """Draws text and a legend on a strip RGB uint8, as high as they need.

    Text may be of any script; line breaks and control characters become spaces, and
    what doesn't fit on ``max_lines`` ends in an ellipsis. The legend is pairs of a
    colour, or None for words alone, and a label. Sizes are pixels.
    """
    font = load_font(text, font_size)
    pad = max(3, font_size // 3)
    room = max(1, width - 2 * pad)
    line_height = round(font_size * 1.35)
    lines = wrap_text(text, font, room, max_lines)
    label_font = load_font(''.join(label for _, label in legend), font_size)
    rows = _legend_rows(legend, label_font, room, font_size)
    height = (len(lines) + len(rows)) * line_height + 2 * pad
    strip = Image.new('RGB', (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    y = pad
    for line in lines:
        draw.text((pad, y), line, fill=INK, font=font)
        y += line_height
    for row in rows:
        for offset, color, label in row:
            x = pad + offset
            if color is not None:
                box = (x, y + font_size // 6, x + font_size, y + font_size * 7 // 6)
                draw.rectangle(box, fill=color, outline=INK)
                x += font_size * 4 // 3
            draw.text((x, y), label, fill=INK, font=label_font)
        y += line_height
    return np.asarray(strip)


def wrap_text(
    text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int
) -> list[str]:
    """Breaks text into lines that are at most ``width`` pixels wide.

    Words wider than a line, and scripts without spaces, are broken anywhere.
    """
    printable = ''.join(c if c.isprintable() else ' ' for c in text)
    words = printable.split()
    lines: list[str] = []
    while words and len(lines) <= max_lines:
        count, line = 1, words[0]
        for word in words[1:]:
            if font.getlength(f'{line} {word}') > width:
                break
            count, line = count + 1, f'{line} {word}'
        cut = _fitting_length(line, font, width)
        lines.append(line[:cut])
        words[:count] = [line[cut:]] if cut < len(line) else []
    if len(lines) > max_lines:
        lines = lines[:max_lines]
        last = lines[-1]
        while last and font.getlength(last + '…') > width:
            last = last[:-1]
        lines[-1] = last.rstrip() + '…'
    return lines


@lru_cache(maxsize=64)
def load_font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """Loads a font that has the letters of ``text``, as far as one is installed."""
    return ImageFont.truetype(_font_path(frozenset(map(ord, text))), size)


def _fitting_length(text: str, font: ImageFont.FreeTypeFont, width: int) -> int:
    """Number of leading letters that fit ``width``, at least one."""
    lengths = range(len(text) + 1)
    too_long = bisect_right(
        lengths, float(width), key=lambda count: font.getlength(text[:count])
    )
    return max(1, too_long - 1)


def _legend_rows(
    legend: Sequence[LegendEntry],
    font: ImageFont.FreeTypeFont,
    width: int,
    font_size: int,
) -> list[list[tuple[int, Color | None, str]]]:
    """Puts legend entries side by side, on the next row where they don't fit."""
    rows: list[list] = []
    x = 0
    for color, label in legend:
        entry = round(font.getlength(label)) + (font_size * 4 // 3 if color else 0)
        if not rows or x + entry > width:
            rows.append([])
            x = 0
        rows[-1].append((x, color, label))
        x += entry + font_size
    return rows


def _font_path(letters: frozenset[int]) -> str:
    default = str(Path(matplotlib.get_data_path()) / 'fonts/ttf/DejaVuSans.ttf')
    visible = frozenset(c for c in letters if c > 0x20 and chr(c).isprintable())
    best, best_missing = default, len(visible - _glyphs(default))
    if best_missing:
        for path in _installed_fonts():
            missing = len(visible - _glyphs(path))
            if missing < best_missing:
                best, best_missing = path, missing
    if best_missing:
        _say_what_is_missing(''.join(map(chr, sorted(visible - _glyphs(best)))))
    return best


@cache
def _installed_fonts() -> list[str]:
    """Paths of fonts, those of Noto first; matplotlib's own list may be old."""
    known = [entry.fname for entry in font_manager.fontManager.ttflist]
    paths = dict.fromkeys([*known, *font_manager.findSystemFonts()])
    # LastResort has a glyph for everything: a box that names the script.
    there = [p for p in paths if 'LastResort' not in p and Path(p).is_file()]
    return sorted(there, key=lambda path: 'Noto' not in Path(path).name)


_said: list[str] = []


def _say_what_is_missing(letters: str) -> None:
    if _said:
        return
    _said.append(letters)
    shown = letters[:20]
    warn(
        f'no installed font has the letters {shown!r}: pictures show boxes in their '
        'place. The Noto fonts have them (Debian, Ubuntu: fonts-noto-core, '
        'fonts-noto-cjk)'
    )


@cache
def _glyphs(path: str) -> frozenset[int]:
    try:
        return frozenset(ft2font.FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # an installed font that can't be read
        return frozenset()
