# SPDX-License-Identifier: Apache-2.0
"""From pixels to the map, to square metres and to longitude and latitude."""

from __future__ import annotations

import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

# RFC 7946, section 11.2: 7 digits are about a centimetre.
DIGITS = 7
# Straight lines of one projection are curves in another. Pieces of so many pixels
# follow them closely enough.
PIECE_PIXELS = 64
# Pictures without a geotransform: rows count downwards, as QGIS shows them.
PICTURE_TRANSFORM = Affine(1, 0, 0, 0, -1, 0)


class Georeference:
    """Where a scene lies.

    Args:
        crs: Its coordinate system, or None.
        transform: From (column, row) to its coordinates, or None.
        height, width: In pixels.

    Attributes:
        on_earth: Whether positions on the earth can be told.

    Raises:
        ValueError: If the coordinates have no place on the earth.
    """

    def __init__(
        self,
        crs: rasterio.crs.CRS | None,
        transform: Affine | None,
        height: int,
        width: int,
    ) -> None:
        self.transform = transform or PICTURE_TRANSFORM
        self.crs = None
        if crs is not None and transform is not None:
            self.crs = pyproj.CRS.from_user_input(crs.to_wkt())
        self._piece = PIECE_PIXELS * _pixel_side(self.transform)
        geodetic = self.crs.geodetic_crs if self.crs is not None else None
        self.on_earth = geodetic is not None
        if self.on_earth:
            self._geod = self.crs.get_geod()
            self._to_geodetic = _transformer(self.crs, geodetic)
            self._to_wgs84 = _transformer(self.crs, 'EPSG:4326')
            self._check_place(height, width)

    def to_map(self, geometry: BaseGeometry) -> BaseGeometry:
        """From (column, row) to the scene's coordinates."""
        return affine_transform(geometry, self.transform.to_shapely())

    def area(self, polygon: shapely.Polygon) -> float | None:
        """Area on the ellipsoid of a polygon in map coordinates.

        It is the same in any projection, a geographic one included.

        Returns:
            Square metres; None if the scene has no place on the earth.
        """
        if not self.on_earth:
            return None
        polygon = self._project(polygon, self._to_geodetic)
        polygon = shapely.geometry.polygon.orient(polygon)
        return abs(self._geod.geometry_area_perimeter(polygon)[0])

    def to_wgs84(self, polygon: shapely.Polygon) -> BaseGeometry:
        """From map coordinates to longitude and latitude as RFC 7946 wants them.

        Rings run anticlockwise around the inside, coordinates have 7 digits, and
        what crosses the 180th meridian is cut in two there.
        """
        polygon = _cut_at_antimeridian(self._project(polygon, self._to_wgs84))
        rounded = shapely.set_precision(polygon, 10.0**-DIGITS)
        # Pixels of less than a centimetre would vanish.
        polygon = polygon if rounded.is_empty else rounded
        parts = [
            shapely.geometry.polygon.orient(part)
            for part in shapely.get_parts(polygon)
            if part.geom_type == 'Polygon'
        ]
        return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)

    def bounds_wgs84(self, height: int, width: int) -> tuple[float, ...]:
        """West, south, east, north of the scene in degrees."""
        frame = self.to_map(shapely.box(0, 0, width, height))
        return self._project(frame, self._to_wgs84).bounds

    def _project(
        self, geometry: BaseGeometry, transformer: pyproj.Transformer
    ) -> BaseGeometry:
        geometry = shapely.segmentize(geometry, self._piece)
        return shapely.transform(geometry, transformer.transform, interleaved=False)

    def _check_place(self, height: int, width: int) -> None:
        bounds = np.array(self.bounds_wgs84(height, width))
        if not np.isfinite(bounds).all():
            frame = self.to_map(shapely.box(0, 0, width, height)).bounds
            raise ValueError(
                f'the scene reaches from {frame[:2]} to {frame[2:]} in '
                f'{self.crs.name}, which is no place on the earth: its coordinate '
                'system or its geotransform is wrong'
            )


def _pixel_side(transform: Affine) -> float:
    return abs(transform.determinant) ** 0.5


def _transformer(source: object, target: object) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _cut_at_antimeridian(polygon: shapely.Polygon) -> BaseGeometry:
    west, _, east, _ = polygon.bounds
    if east - west <= 180:
        return polygon
    moved = shapely.transform(polygon, lambda c: c + (c < 0) * np.array([360.0, 0.0]))
    before = moved.intersection(shapely.box(0, -90, 180, 90))
    behind = moved.intersection(shapely.box(180, -90, 360, 90))
    behind = shapely.transform(behind, lambda c: c - np.array([360.0, 0.0]))
    parts = [*shapely.get_parts(before), *shapely.get_parts(behind)]
    return shapely.MultiPolygon([part for part in parts if part.area > 0])
