# SPDX-License-Identifier: Apache-2.0
"""Objects as polygons, traced on the finished mask of the whole scene.

No object is cut where tiles meet, because by then there are no tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.features import shapes
from shapely.affinity import affine_transform

from ..imagery import open_raster
from .geometry import Georeference
from .rasters import Strips
from .tiling import FULL


@dataclass
class FoundObject:
    """A connected part of the mask."""

    expression: str
    score: float  # mean probability inside, 0...1
    pixels: int
    # Square metres before simplification; None for a scene without a place on earth.
    area: float | None
    polygon: shapely.Polygon  # in the coordinates of the scene


@dataclass(frozen=True)
class ObjectFilter:
    """Which objects are kept, and how exact their outlines are."""

    min_area: float = 0.0  # square metres
    min_pixels: int = 0
    # How far an outline may leave the borders of the pixels, in units of the scene's
    # coordinates. 0 keeps every corner.
    simplify: float = 0.0

    def __post_init__(self) -> None:
        for name in ('min_area', 'min_pixels', 'simplify'):
            value = getattr(self, name)
            if not 0 <= value < float('inf'):
                raise ValueError(f'{name} {value} must be 0 or more')


def trace_objects(
    mask_file: Path,
    expression: str,
    place: Georeference,
    wanted: ObjectFilter,
    strips: Strips,
) -> tuple[list[FoundObject], list[shapely.Polygon]]:
    """Turns a raster with 1 on objects, and the uint16 probabilities, into objects.

    They come from top to bottom; beside them, in pixel coordinates, are the outlines
    of those that are too small.
    """
    outlines, found, small = [], [], []
    for outline in _outlines(mask_file):
        pixels = round(outline.area)
        polygon = place.to_map(outline)
        area = place.area(polygon) if pixels >= wanted.min_pixels else None
        if pixels < wanted.min_pixels or (area is not None and area < wanted.min_area):
            small.append(outline)
            continue
        if wanted.simplify:
            polygon = _simplified(polygon, wanted.simplify)
        outlines.append(outline)
        found.append(FoundObject(expression, 0.0, pixels, area, polygon))
    for item, total in zip(found, _sums_inside(outlines, strips), strict=True):
        item.score = float(total) / (FULL * item.pixels)
    return found, small


def _outlines(mask_file: Path) -> Iterator[shapely.Polygon]:
    """Outlines of the mask's connected parts in pixel coordinates.

    The raster is read a line at a time: memory goes with the outlines.
    """
    with open_raster(mask_file) as raster:
        band = rasterio.band(raster, 1)
        to_pixel = (~raster.transform).to_shapely()
        for outline, value in shapes(band, mask=band, connectivity=4):
            if value == 1:
                outer, *holes = outline['coordinates']
                polygon = affine_transform(shapely.Polygon(outer, holes), to_pixel)
                # Corners of pixels: whole numbers again, without rounding errors.
                yield shapely.transform(polygon, np.rint)


def _simplified(polygon: shapely.Polygon, tolerance: float) -> shapely.Polygon:
    """A simpler outline; less simple than it could be where it would cross itself."""
    simple = shapely.simplify(polygon, tolerance)
    while not simple.is_valid:
        tolerance /= 2
        simple = shapely.simplify(polygon, tolerance)
    return simple


def _sums_inside(outlines: Sequence[shapely.Polygon], strips: Strips) -> np.ndarray:
    """Sum of the probabilities of each object's pixels."""
    sums = np.zeros(len(outlines) + 1)
    everything = PixelOutlines(outlines)
    for row, values in strips:
        labels = everything.labels(row, values.shape)
        inside = labels > 0
        sums += np.bincount(labels[inside], values[inside], len(sums))
    return sums[1:]


class PixelOutlines:
    """Which pixels lie in polygons that follow the borders of pixels.

    GDAL's rasteriser looks at every edge for every row, which takes minutes for one
    river. Edges between pixels need no geometry: going along a row, each vertical
    edge that is crossed leads into a polygon or out of it.

    Args:
        polygons: With whole coordinates and edges along rows and columns, without
            common area; x is the column and y the row.
    """

    def __init__(self, polygons: Sequence[shapely.Polygon]) -> None:
        oriented = shapely.orient_polygons(np.array(polygons, dtype=object))
        rings, owners = shapely.get_rings(oriented, return_index=True)
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        corners = np.rint(corners).astype(np.int64)
        before, after = corners[:-1], corners[1:]
        vertical = (ring[:-1] == ring[1:]) & (before[:, 0] == after[:, 0])
        before, after = before[vertical], after[vertical]
        number = owners[ring[:-1][vertical]] + 1
        self._column = before[:, 0]
        self._top = np.minimum(before[:, 1], after[:, 1])
        self._bottom = np.maximum(before[:, 1], after[:, 1])
        # Rings have the inside on the left, so rising rows mean to leave it.
        self._step = np.where(after[:, 1] > before[:, 1], -number, number)

    def labels(self, row: int, shape: tuple[int, int]) -> np.ndarray:
        """Number, from 1, of the polygon around each pixel; 0 outside.

        They are int32 of a shape (rows, width) for the rows from ``row`` on.
        """
        height, width = shape
        top = np.maximum(self._top - row, 0)
        length = np.minimum(self._bottom - row, height) - top
        here = length > 0
        top, length = top[here], length[here]
        # One entry per row that an edge runs along.
        first = np.repeat(np.cumsum(length) - length, length)
        rows = np.arange(length.sum()) - first + np.repeat(top, length)
        columns = np.repeat(self._column[here], length)
        steps = np.zeros((height, width + 1), np.int32)
        np.add.at(steps, (rows, columns), np.repeat(self._step[here], length))
        return np.cumsum(steps, axis=1, dtype=np.int32)[:, :width]
