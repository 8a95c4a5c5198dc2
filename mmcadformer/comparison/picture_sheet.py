# SPDX-License-Identifier: Apache-2.0
"""Pictures of the expressions on which methods disagree most."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from ..datasets.masks import decode_rle
from ..imagery import read_picture
from ..visualization import draw_titled_panels
from ..visualization.overlay import PRED_COLOR, TRUTH_COLOR
from ..visualization.text import draw_text_strip
from .results import Line, MethodResults

_LEGEND = ((PRED_COLOR, 'prediction'), (TRUTH_COLOR, 'truth'))


def has_masks(method: MethodResults) -> bool:
    """Whether the first seed's file holds the masks that a sheet shows."""
    return all(
        'pred_rle' in line and 'truth_rle' in line for line in method.expressions
    )


def largest_disagreements(methods: Sequence[MethodResults], count: int) -> list[int]:
    """Up to ``count`` expressions with the largest range of IoU over methods.

    By turns one on which the first method does worse than another and one on which it
    does better; none on which all agree.
    """
    ious = np.stack([method.iou.mean(axis=0) for method in methods])
    gains, losses = ious.max(axis=0) - ious[0], ious[0] - ious.min(axis=0)
    behind = [int(i) for i in np.argsort(-gains, kind='stable') if gains[i] > 0]
    ahead = [int(i) for i in np.argsort(-losses, kind='stable') if losses[i] > 0]
    by_turns = (i for pair in zip_longest(behind, ahead) for i in pair)
    return list(dict.fromkeys(i for i in by_turns if i is not None))[:count]


def draw_sheet(
    methods: Sequence[MethodResults],
    chosen: Sequence[int],
    image_dir: str | Path | None = None,
    panel_width: int = 280,
) -> np.ndarray:
    """Draws image, truth and each method's first seed, one chosen expression per row.

    Images are looked up by their names in ``image_dir``, by default at the paths in the
    result files. Returns RGB uint8 (H, W, 3).
    """
    if not chosen:
        raise ValueError('there is no expression to draw')
    for method in methods:
        if not has_masks(method):
            raise ValueError(
                f'the results of {method.name} hold no masks; test with --save-masks '
                'to draw them'
            )
    rows = [_draw_row(methods, i, image_dir, panel_width) for i in chosen]
    width = max(row.shape[1] for row in rows)
    rule = np.full((3, width, 3), 160, np.uint8)
    parts = [draw_text_strip(width, '', _LEGEND)]
    for row in rows:
        pad = ((0, 0), (0, width - row.shape[1]), (0, 0))
        parts += [rule, np.pad(row, pad, constant_values=255)]
    return np.concatenate(parts)


def _draw_row(
    methods: Sequence[MethodResults],
    index: int,
    image_dir: str | Path | None,
    panel_width: int,
) -> np.ndarray:
    line = methods[0].expressions[index]
    image = _read(line, image_dir)
    height = max(1, round(image.shape[0] * panel_width / image.shape[1]))
    size = (panel_width, height)
    kind = cv2.INTER_AREA if panel_width < image.shape[1] else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=kind)
    truth = _mask(line['truth_rle'], size)
    panels: list[tuple[str, np.ndarray | None, np.ndarray | None]]
    panels = [('image', None, None), ('truth', None, truth)]
    for method in methods:
        pred = _mask(method.expressions[index]['pred_rle'], size)
        iou = 100 * method.iou[0, index]
        panels.append((f'{method.name}: IoU {iou:.1f} %', pred, truth))
    return draw_titled_panels(image, panels, line['expression'], min_width=panel_width)


def _read(line: Line, image_dir: str | Path | None) -> np.ndarray:
    path = Path(line['img_path'])
    if image_dir is not None:
        path = Path(image_dir) / path.name
    if not path.is_file():
        raise FileNotFoundError(
            f'the image {path} does not exist (seen from {Path.cwd()}); name the '
            'folder of the images by --images'
        )
    return np.ascontiguousarray(read_picture(path).rgb)


def _mask(rle: dict, size: tuple[int, int]) -> np.ndarray:
    """Boolean (H, W), brought to the size (W, H) of the picture."""
    mask = decode_rle(rle)
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 0
