# SPDX-License-Identifier: Apache-2.0
"""Masks as polygons in pixels, for pictures without a place on the earth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..apis import ReferringResult
from ..utils.outlines import trace_outlines

_COORDINATES = (
    'pixels of a picture of {width} x {height}: x to the right, y down, from its upper '
    'left corner. Not longitude and latitude: the picture has no georeference'
)


def write_pixel_geojson(result: ReferringResult, file: Path) -> None:
    """Writes the connected parts of a mask in the form of GeoJSON.

    GeoJSON is meant for longitude and latitude; that these are pixels is said in the
    member ``coordinates_are``. Outlines follow the borders of pixels.
    """
    height, width = result.mask.shape
    content = dict(
        type='FeatureCollection',
        coordinates_are=_COORDINATES.format(width=width, height=height),
        features=list(_features(result)),
    )
    text = json.dumps(content, ensure_ascii=False)
    file.write_text(text + '\n', encoding='utf-8')


def _features(result: ReferringResult) -> Iterator[dict]:
    mask = result.mask.astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    for number in range(1, count):
        left, top, width, height, pixels = boxes[number].tolist()
        window = slice(top, top + height), slice(left, left + width)
        part = labels[window] == number
        yield dict(
            type='Feature',
            id=number,
            properties=dict(
                expression=result.expression,
                score=round(float(result.probability[window][part].mean()), 6),
                pixels=pixels,
            ),
            geometry=dict(type='Polygon', coordinates=list(_rings(part, (left, top)))),
        )


def _rings(part: np.ndarray, corner: tuple[int, int]) -> Iterator[list]:
    """The closed outline of one connected part, then those of its holes."""
    for outline in sorted(trace_outlines(part), key=lambda ring: ring.is_hole):
        ring = (outline.corners + corner).tolist()
        yield [*ring, ring[0]]
