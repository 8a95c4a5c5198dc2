# SPDX-License-Identifier: Apache-2.0
"""Objects as polygons, traced on the finished mask of the whole scene.

No object is cut where tiles meet, because by then there are no tiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import shapes
from shapely.affinity import affine_transform

from .blending import FULL
from .geometry import Georeference
from .pixel_labels import PixelOutlines
from .rasters import Strips


@dataclass
class FoundObject:
    """A connected part of the mask.

    Attributes:
        expression: The sentence.
        score: Mean probability inside, 0...1.
        pixels: Its size.
        area: Its size in square metres, before simplification; None if the scene
            has no place on the earth.
        polygon: Its outline in the coordinates of the scene.
    """

    expression: str
    score: float
    pixels: int
    area: float | None
    polygon: shapely.Polygon


@dataclass(frozen=True)
class ObjectFilter:
    """Which objects are kept, and how exact their outlines are.

    Args:
        min_area: The smallest area in square metres.
        min_pixels: The smallest area in pixels.
        simplify: How far an outline may leave the borders of the pixels, in units
            of the scene's coordinates. 0 keeps every corner.

    Raises:
        ValueError: If a number is negative.
    """

    min_area: float = 0.0
    min_pixels: int = 0
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
    """Turns a mask into objects.

    Args:
        mask_file: Raster with 1 on objects.
        expression: What they are.
        place: Where the scene lies.
        wanted: What to keep.
        strips: First row and uint16 probabilities (rows, width), top to bottom.

    Returns:
        The objects from top to bottom, and in pixel coordinates those that are too
        small.
    """
    outlines, found, small = [], [], []
    for outline in _outlines(mask_file):
        pixels = round(outline.area)
        if pixels < wanted.min_pixels:
            small.append(outline)
            continue
        polygon = place.to_map(outline)
        area = place.area(polygon)
        if area is not None and area < wanted.min_area:
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

    The raster is read a line at a time, so the memory that is needed goes with the
    outlines and not with the scene.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        raster = rasterio.open(mask_file)
    with raster:
        band = rasterio.band(raster, 1)
        to_pixel = (~raster.transform).to_shapely()
        for outline, value in shapes(band, mask=band, connectivity=4):
            if value == 1:
                polygon = affine_transform(shapely.geometry.shape(outline), to_pixel)
                # Corners of pixels: whole numbers again, without rounding errors.
                yield shapely.transform(polygon, np.rint)


def _simplified(polygon: shapely.Polygon, tolerance: float) -> shapely.Polygon:
    """A simpler outline; less simple than it could be where it would cross itself."""
    simple = polygon.simplify(tolerance)
    while not simple.is_valid:
        tolerance /= 2
        simple = polygon.simplify(tolerance)
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
