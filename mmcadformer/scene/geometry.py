# SPDX-License-Identifier: Apache-2.0
"""From pixels to the map, to square metres and to GeoJSON.

Longitudes jump at the 180th meridian and mean nothing at the poles; areas and
outlines are right there, too.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from pyproj.enums import TransformDirection
from shapely.affinity import affine_transform, translate
from shapely.geometry.base import BaseGeometry

# RFC 7946, section 11.2: 7 digits are about a centimetre.
DIGITS = 7
# Pictures without a geotransform: rows count downwards, as QGIS shows them.
PICTURE_TRANSFORM = Affine(1, 0, 0, 0, -1, 0)

# Straight lines of one projection are curves in another. Pieces of so many pixels
# follow them closely enough, if they are so many pieces away from a pole.
_PIECE_PIXELS = 64
_POLAR_PIECES = 10
# A parallel and the shortest way between two of its points are as good as equal.
_MAX_DEGREES = 1


class Georeference:
    """Where a scene lies, or a ValueError if that isn't a place on the earth.

    Only if it is ``on_earth`` can positions on the earth be told, and areas. The
    transform leads from (column, row) to the scene's coordinates.
    """

    def __init__(
        self,
        crs: rasterio.crs.CRS | None,
        transform: Affine | None,
        height: int,
        width: int,
    ) -> None:
        self.transform = transform or PICTURE_TRANSFORM
        self.crs: pyproj.CRS | None = None
        self.on_earth = False
        if crs is not None and transform is not None:
            self.crs = pyproj.CRS.from_user_input(crs.to_wkt())
            self.on_earth = self._find_longitudes(self.crs)
        if self.on_earth:
            self._check_place(self.to_map(shapely.box(0, 0, width, height)))

    def to_map(self, polygon: shapely.Polygon) -> shapely.Polygon:
        """From (column, row) to the scene's coordinates."""
        return affine_transform(polygon, self.transform.to_shapely())

    def area(self, polygon: shapely.Polygon) -> float | None:
        """Square metres, on the ellipsoid, of a polygon in map coordinates.

        They are the same in any projection; None without a place on the earth.
        """
        if not self.on_earth:
            return None
        rings = shapely.get_rings(self._in_pieces(polygon))
        outer, *holes = (self._ring_area(ring) for ring in rings)
        return outer - sum(holes)

    def to_wgs84(self, polygon: shapely.Polygon) -> BaseGeometry:
        """From map coordinates to longitude and latitude as RFC 7946 wants them.

        Rings run anticlockwise around the inside, coordinates have 7 digits, and
        what crosses the 180th meridian is cut in two there.
        """
        moved = shapely.transform(
            self._in_pieces(self._off_the_poles(polygon)), self._to_degrees
        )
        west, _, east, _ = moved.bounds
        if not -180 <= west <= east <= 180 or east - west >= 180:
            # Longitudes that go on beyond 180 where a ring crosses the meridian.
            parts = [_unwrapped(part) for part in shapely.get_parts(moved)]
            moved = _cut_at_antimeridian(shapely.union_all(parts))
        rounded = shapely.set_precision(moved, 10.0**-DIGITS)
        # Pixels of less than a centimetre would vanish.
        areas = areas_of(moved if rounded.is_empty else rounded)
        areas = [shapely.geometry.polygon.orient(area) for area in areas]
        return areas[0] if len(areas) == 1 else shapely.MultiPolygon(areas)

    def _find_longitudes(self, crs: pyproj.CRS) -> bool:
        """Whether positions on the earth, and not on another body, can be told."""
        geodetic, geod = crs.geodetic_crs, crs.get_geod()
        if geodetic is None or geod is None or crs.is_geocentric:
            return False
        new = partial(pyproj.Transformer.from_crs, always_xy=True)
        try:
            self._to_wgs84 = new(crs, 'EPSG:4326')
        except pyproj.exceptions.ProjError:
            return False
        self._to_geodetic, self._geod = new(crs, geodetic), geod
        # Some old systems count in grads.
        self._degrees = math.degrees(geodetic.axis_info[0].unit_conversion_factor)
        self._pixel = abs(self.transform.determinant) ** 0.5
        self._piece = _PIECE_PIXELS * self._pixel
        self._poles = []
        if crs.is_geographic:
            self._piece = min(self._piece, _MAX_DEGREES / self._degrees)
            return True
        for latitude in (-90, 90):
            place = self._to_wgs84.transform(
                0, latitude, direction=TransformDirection.INVERSE
            )
            if np.isfinite(place).all():
                self._poles.append(shapely.Point(place))
        return True

    def _check_place(self, frame: shapely.Polygon) -> None:
        """Whether all corners and edges have a place on the earth."""
        assert self.crs is not None
        corners = shapely.get_coordinates(self._in_pieces(frame)).T
        _, latitudes = self._to_geodetic.transform(*corners)
        # Grids that count from the centres of their pixels may end half a pixel
        # beyond a pole.
        beyond = self._pixel * self._degrees if self.crs.is_geographic else 0
        if not (np.abs(latitudes) * self._degrees <= 90 + beyond).all():
            raise ValueError(
                f'the scene reaches from {frame.bounds[:2]} to {frame.bounds[2:]} in '
                f'{self.crs.name}, which is not a place on the earth: its coordinate '
                'system or its geotransform is wrong'
            )

    def _in_pieces(self, geometry: BaseGeometry) -> BaseGeometry:
        near = _POLAR_PIECES * self._piece
        polar = any(geometry.distance(pole) < near for pole in self._poles)
        return shapely.segmentize(geometry, self._pixel if polar else self._piece)

    def _off_the_poles(self, polygon: BaseGeometry) -> BaseGeometry:
        """Takes poles off outlines: there, a longitude says nothing."""
        least = self._pixel / 100
        for pole in self._poles:
            if polygon.distance(pole) < least > polygon.boundary.distance(pole):
                polygon = polygon.difference(pole.buffer(least))
        return polygon

    def _to_degrees(self, corners: np.ndarray) -> np.ndarray:
        longitudes, latitudes = self._to_wgs84.transform(*corners.T)
        return np.stack([longitudes, np.clip(latitudes, -90, 90)], axis=-1)

    def _ring_area(self, ring: shapely.LinearRing) -> float:
        corners = self._to_geodetic.transform(*shapely.get_coordinates(ring).T)
        longitudes, latitudes = np.array(corners) * self._degrees
        latitudes = np.clip(latitudes, -90, 90)
        return abs(self._geod.polygon_area_perimeter(longitudes, latitudes)[0])


def areas_of(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """The polygons of any geometry, without the lines and points that cuts leave."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if part.area > 0]


def _unwrapped(polygon: shapely.Polygon) -> BaseGeometry:
    """A polygon without jumps from 180 to -180."""
    outer, *holes = (_region(ring) for ring in shapely.get_rings(polygon))
    # A hole may have been unwrapped to another turn than the outline around it.
    turns = [translate(hole, 360 * turn) for hole in holes for turn in range(-2, 3)]
    return outer.difference(shapely.union_all(turns))


def _region(ring: shapely.LinearRing) -> BaseGeometry:
    """What a ring encloses on the earth, its longitudes going on beyond 180."""
    longitudes, latitudes = shapely.get_coordinates(ring).T
    longitudes = np.unwrap(longitudes, period=360)
    corners = list(zip(longitudes, latitudes, strict=True))
    if abs(longitudes[-1] - longitudes[0]) > 180:
        # Once around the earth: a pole is inside.
        pole = math.copysign(90, latitudes.mean())
        corners += [(longitudes[-1], pole), (longitudes[0], pole)]
    return shapely.make_valid(shapely.Polygon(corners))


def _cut_at_antimeridian(polygons: BaseGeometry) -> shapely.MultiPolygon:
    west, _, east, _ = polygons.bounds
    parts = []
    for turn in range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360)):
        strip = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        parts.append(translate(polygons.intersection(strip), -360 * turn))
    return shapely.MultiPolygon(areas_of(shapely.union_all(parts)))
