# SPDX-License-Identifier: Apache-2.0
"""The area of interest: where in the scene to look."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import shapely
from affine import Affine
from pyproj.enums import TransformDirection
from rasterio.features import rasterize
from shapely.affinity import affine_transform, translate
from shapely.geometry.base import BaseGeometry

from ..utils.log import warn
from .geometry import Georeference, areas_of
from .tiling import Tile


class OutsideSceneError(ValueError):
    """The area of interest and the scene have nothing in common."""


class AreaOfInterest:
    """A union of polygons in pixel coordinates: x is the column and y the row."""

    def __init__(self, polygons: BaseGeometry) -> None:
        self.polygons = polygons
        shapely.prepare(self.polygons)

    def touches(self, tile: Tile) -> bool:
        """Whether a tile and the area share any ground."""
        box = shapely.box(
            tile.column, tile.row, tile.column + tile.size, tile.row + tile.size
        )
        return bool(self.polygons.intersects(box))

    def mask(self, row: int, column: int, height: int, width: int) -> np.ndarray:
        """Pixels of a window whose centre is inside: bool (height, width)."""
        window = shapely.box(column, row, column + width, row + height)
        # Where the area only touches the window are lines, which have no centres.
        part = _union_of_areas(self.polygons.intersection(window))
        if part.area == 0:
            return np.zeros((height, width), bool)
        inside = rasterize(
            [part],
            out_shape=(height, width),
            transform=Affine.translation(column, row),
            dtype=np.uint8,
        )
        return inside.astype(bool)


def read_aoi(
    path: str | os.PathLike,
    place: Georeference,
    height: int,
    width: int,
    layer: str | None = None,
) -> AreaOfInterest:
    """Reads the polygons of a vector file and lays them over a scene.

    They come from the layer named, by default the first with geometries.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it can't be read, has no such layer or area, or lies elsewhere.
    """
    name = f'area of interest {os.fspath(path)}'
    if not Path(path).exists():
        raise FileNotFoundError(f'{name} does not exist')
    polygons, crs = _read_polygons(path, name, layer)
    polygons = _to_scene(polygons, crs, place, (height, width), name)
    polygons = affine_transform(polygons, (~place.transform).to_shapely())
    inside = _union_of_areas(polygons.intersection(shapely.box(0, 0, width, height)))
    if inside.area == 0:
        left, top, right, bottom = (round(v) for v in polygons.bounds)
        raise OutsideSceneError(
            f'{name} lies outside the scene: in pixels it covers columns '
            f'{left}...{right} and rows {top}...{bottom} of {width} x {height}'
        )
    return AreaOfInterest(inside)


def _read_polygons(
    path: str | os.PathLike, name: str, layer: str | None
) -> tuple[BaseGeometry, str | None]:
    """The union of a layer's polygons, and its coordinate system."""
    try:
        layer = _choose_layer(path, name, layer)
        meta, _, geometries, _ = pyogrio.raw.read(
            path, layer=layer, columns=[], force_2d=True
        )
        shapes = [] if geometries is None else shapely.from_wkb(geometries)
        shapes = [shapely.make_valid(shape) for shape in shapes if shape is not None]
    except (pyogrio.errors.DataSourceError, shapely.errors.GEOSException) as error:
        raise ValueError(
            f'{name} is not a vector file that can be read: {error}'
        ) from None
    union = _union_of_areas(shapely.union_all(shapes))
    if union.area == 0:
        raise ValueError(
            f'{name} has no area: {len(shapes)} features, none of them a polygon with '
            'any extent'
        )
    return union, meta['crs']


def _choose_layer(path: str | os.PathLike, name: str, wanted: str | None) -> str:
    layers = [layer for layer, kind in pyogrio.list_layers(path) if kind is not None]
    if not layers:
        raise ValueError(f'{name} has no layer with polygons')
    if wanted is None and len(layers) > 1:
        warn(
            f'{name} has several layers, of which the first counts unless another is '
            f'chosen (--aoi-layer): {", ".join(layers)}'
        )
    if wanted is not None and wanted not in layers:
        raise ValueError(
            f'{name} has no layer {wanted!r} with polygons, only ' + ', '.join(layers)
        )
    return layers[0] if wanted is None else wanted


def _union_of_areas(geometry: BaseGeometry) -> BaseGeometry:
    return shapely.union_all(areas_of(geometry))


def _to_scene(
    polygons: BaseGeometry,
    crs: str | None,
    place: Georeference,
    size: tuple[int, int],
    name: str,
) -> BaseGeometry:
    """Polygons in the coordinates of a scene of some height and width."""
    if place.crs is None and crs is None:
        return polygons
    if place.crs is None or crs is None:
        warn(
            f'{"the scene" if place.crs is None else name} has no coordinate system: '
            'the coordinates of both are taken to be of one system'
        )
        return polygons
    transformer = pyproj.Transformer.from_crs(crs, place.crs, always_xy=True)
    frame = place.to_map(shapely.box(0, 0, size[1], size[0]))
    polygons = _near(polygons, pyproj.CRS(crs), frame, transformer)
    west, south, east, north = polygons.bounds
    # Edges that are straight there are curves here.
    piece = max(east - west, north - south) / 200
    moved = shapely.transform(
        shapely.segmentize(polygons, piece),
        lambda corners: np.stack(transformer.transform(*corners.T), axis=-1),
    )
    if not np.isfinite(moved.bounds).all():
        raise ValueError(
            f'{name} cannot be moved to the coordinate system of the scene, '
            f'{place.crs.name}: it lies too far away'
        )
    return _at_every_turn(shapely.make_valid(moved), place.crs)


def _near(
    polygons: BaseGeometry,
    crs: pyproj.CRS,
    frame: shapely.Polygon,
    transformer: pyproj.Transformer,
) -> BaseGeometry:
    """The part around the scene: what is far away may have no place in its system."""
    west, south, east, north = transformer.transform_bounds(
        *frame.bounds, direction=TransformDirection.INVERSE
    )
    if not np.isfinite((west, south, east, north)).all() or west > east:
        return polygons
    margin = max(east - west, north - south) / 2
    box = shapely.box(west - margin, south - margin, east + margin, north + margin)
    near = _union_of_areas(polygons.intersection(_at_every_turn(box, crs)))
    return polygons if near.is_empty else near


def _at_every_turn(geometry: BaseGeometry, crs: pyproj.CRS) -> BaseGeometry:
    """Adds where else longitudes may have it: -170 degrees are 190, too."""
    if not crs.is_geographic:
        return geometry
    turn = 2 * np.pi / crs.axis_info[0].unit_conversion_factor
    return shapely.union_all(
        [translate(geometry, turns * turn) for turns in (-1, 0, 1)]
    )
