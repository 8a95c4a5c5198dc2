# SPDX-License-Identifier: Apache-2.0
"""Masks on an image, with the expression that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .text import LegendEntry, draw_text_strip

# Title, prediction, truth.
Panel = tuple[str, np.ndarray | None, np.ndarray | None]

# RGB. Orange and sky blue stay apart for every common form of colour blindness.
PRED_COLOR = (255, 140, 0)
TRUTH_COLOR = (0, 200, 255)
# Labels of a mask that isn't boolean.
TARGET, IGNORE = 1, 255
# Pixels up to which the longer side of a narrow picture is enlarged.
_MAX_ENLARGED = 2048
_PAPER = 255


def mask_iou(pred: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks, in 0...1; 1 where both are empty.

    They are boolean (H, W), or labels in which 1 is the target; pixels that the truth
    labels 255 are left out.
    """
    valid = np.asarray(truth) != IGNORE
    pred, truth = _is_target(pred) & valid, _is_target(truth) & valid
    union = np.count_nonzero(pred | truth)
    return np.count_nonzero(pred & truth) / union if union else 1.0


def draw_referring_overlay(
    image: np.ndarray,
    expression: str,
    pred: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    *,
    score: float | None = None,
    remark: str = '',
    alpha: float = 0.45,
    text_position: str = 'below',
    min_width: int = 320,
) -> np.ndarray:
    """Draws prediction and truth onto the image, and the expression beside it.

    The prediction is a tinted area with a contour. The truth is a contour, and a
    tinted area too where there is no prediction. A legend says which is which, and
    how well they agree.

    Args:
        image: RGB uint8 (H, W, 3).
        expression: What the masks stand for, in any script.
        pred, truth: See :func:`mask_iou`.
        score: Confidence of the prediction in 0...1, for the legend.
        remark: Something else to say there.
        alpha: Opacity of the tint, 0...1.
        text_position: Where the strip with the text goes, 'below' or 'above'.
        min_width: Images narrower than this are enlarged by a whole factor, so
            that text beside them can be read; those that are very high besides
            get a white margin instead. Pixels.

    Returns:
        RGB uint8 (H', W', 3), with H' > H for the text and W' >= W.

    Raises:
        ValueError: If the image or a mask has the wrong shape or type.
    """
    if text_position not in ('below', 'above'):
        raise ValueError(
            f"text_position must be 'below' or 'above', not {text_position!r}"
        )
    picture = _paint(image, pred, truth, alpha, min_width)
    legend: list[LegendEntry] = []
    if pred is not None:
        legend.append((PRED_COLOR, 'prediction'))
    if truth is not None:
        legend.append(_truth_entry(truth))
    legend += _agreement(pred, truth, remark)
    if score is not None:
        legend.append((None, f'score {score:.2f}'))
    width = picture.shape[1]
    strip = draw_text_strip(width, expression, legend, _font_size(width))
    parts = [picture, strip] if text_position == 'below' else [strip, picture]
    return np.concatenate(parts)


def draw_referring_panels(
    image: np.ndarray,
    expression: str,
    pred: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    *,
    remark: str = '',
    alpha: float = 0.45,
    min_width: int = 320,
) -> np.ndarray:
    """Draws image, prediction and truth side by side above the expression.

    Arguments and errors are those of :func:`draw_referring_overlay`, ``min_width``
    is that of a panel. A panel that has no mask is left out.
    """
    panels: list[Panel] = [('image', None, None)]
    if pred is not None:
        panels.append(('prediction', pred, None))
    if truth is not None:
        panels.append((_truth_entry(truth)[1], None, truth))
    legend = _agreement(pred, truth, remark)
    return draw_titled_panels(
        image, panels, expression, legend, alpha=alpha, min_width=min_width
    )


def draw_titled_panels(
    image: np.ndarray,
    panels: Sequence[Panel],
    text: str,
    legend: Sequence[LegendEntry] = (),
    *,
    alpha: float = 0.45,
    min_width: int = 320,
) -> np.ndarray:
    """Draws the image side by side with various masks, above a text and a legend.

    See :func:`draw_referring_panels` and :func:`draw_text_strip` for the arguments.
    """
    columns = []
    for title, pred, truth in panels:
        picture = _paint(image, pred, truth, alpha, min_width)
        width = picture.shape[1]
        title_strip = draw_text_strip(width, title, font_size=_font_size(width))
        columns.append(np.concatenate([title_strip, picture]))
    # Titles may take several lines.
    height = max(map(len, columns))
    gap = np.full((height, 4, 3), _PAPER, np.uint8)
    row = []
    for column in columns:
        missing = ((height - len(column), 0), (0, 0), (0, 0))
        row += [gap, np.pad(column, missing, constant_values=_PAPER)]
    top = np.concatenate(row[1:], axis=1)
    font_size = _font_size(columns[0].shape[1])
    bottom = draw_text_strip(top.shape[1], text, legend, font_size)
    return np.concatenate([top, bottom])


def widen(picture: np.ndarray, min_width: int) -> np.ndarray:
    """Makes a narrow picture as wide as :func:`draw_referring_overlay` does."""
    factor = _enlargement(picture, min_width)
    return _with_margin(_enlarge(picture, factor), min_width)


def shrink(image: np.ndarray, side: int) -> np.ndarray:
    """A picture or map whose longer side has at most that many pixels."""
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    size = [max(1, round(pixels * factor)) for pixels in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _truth_entry(truth: np.ndarray) -> LegendEntry:
    """An empty mask is a statement, too: the sentence means nothing in the picture."""
    return (TRUTH_COLOR, 'truth') if _is_target(truth).any() else (None, 'no target')


def _agreement(
    pred: np.ndarray | None, truth: np.ndarray | None, remark: str
) -> list[LegendEntry]:
    legend: list[LegendEntry] = []
    if pred is not None and truth is not None:
        legend.append((None, f'IoU {100 * mask_iou(pred, truth):.1f} %'))
    return [*legend, (None, remark)] if remark else legend


def _font_size(width: int) -> int:
    return int(np.clip(width / 30, 13, 40))


def _paint(
    image: np.ndarray,
    pred: np.ndarray | None,
    truth: np.ndarray | None,
    alpha: float,
    min_width: int,
) -> np.ndarray:
    """Image with masks, enlarged by a whole factor if it is narrow."""
    _check_image(image)
    factor = _enlargement(image, min_width)
    picture = _enlarge(np.ascontiguousarray(image), factor)
    areas = []
    masks = (('pred', pred, PRED_COLOR), ('truth', truth, TRUTH_COLOR))
    for name, mask, color in masks:
        if mask is None:
            continue
        if np.shape(mask) != image.shape[:2]:
            raise ValueError(
                f'{name} must have the size of the image, {image.shape[:2]}, '
                f'not {np.shape(mask)}'
            )
        areas.append((_enlarge(_is_target(mask).astype(np.uint8), factor), color))
    if areas:
        area, color = areas[0]
        tint = (1 - alpha) * picture + alpha * np.array(color)
        picture = np.where(area[..., None] > 0, tint.round(), picture).astype(np.uint8)
    # One pixel of contour per 250 px, so that it's seen on large pictures too.
    thickness = max(1, round(min(picture.shape[:2]) / 250))
    for area, color in areas:
        contours, _ = cv2.findContours(area, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, color, thickness)
    return _with_margin(picture, min_width)


def _enlargement(image: np.ndarray, min_width: int) -> int:
    """By which factor a narrow picture is enlarged; memory stays bounded."""
    height, width = image.shape[:2]
    wanted = -(-min_width // width)
    return max(1, min(wanted, _MAX_ENLARGED // max(height, width)))


def _enlarge(array: np.ndarray, factor: int) -> np.ndarray:
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def _with_margin(picture: np.ndarray, min_width: int) -> np.ndarray:
    missing = max(0, min_width - picture.shape[1])
    return np.pad(picture, ((0, 0), (0, missing), (0, 0)), constant_values=_PAPER)


def _is_target(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask)
    return mask if mask.dtype == bool else mask == TARGET


def _check_image(image: np.ndarray) -> None:
    shape, dtype = getattr(image, 'shape', None), getattr(image, 'dtype', None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
        raise ValueError(
            f'image must be an RGB uint8 array (H, W, 3), not {dtype} {shape}'
        )
    if 0 in shape:
        raise ValueError(f'image has no pixels, its shape is {shape}')
