# SPDX-License-Identifier: Apache-2.0
"""Longitude and latitude of polygons, at the 180th meridian and the poles, too."""

from __future__ import annotations

import math

import numpy as np
import pyproj
import shapely
from pyproj.enums import TransformDirection
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

# Straight lines of one projection are curves in another. Pieces of so many pixels
# follow them closely enough, if they are so many pieces away from a pole.
PIECE_PIXELS = 64
_POLAR_PIECES = 10
# A parallel and the shortest way between two of its points are as good as equal.
_MAX_DEGREES = 1


class LonLat:
    """Turns polygons of a coordinate system into longitude and latitude.

    Args:
        crs: A geographic or projected system of the earth.
        pixel: Side of a pixel in its units.
    """

    def __init__(self, crs: pyproj.CRS, pixel: float) -> None:
        geodetic = crs.geodetic_crs
        self._geod = crs.get_geod()
        self._to_geodetic = _transformer(crs, geodetic)
        self._to_wgs84 = _transformer(crs, 'EPSG:4326')
        # Some old systems count in grads.
        self._degrees = math.degrees(geodetic.axis_info[0].unit_conversion_factor)
        self._pixel = pixel
        self._piece = PIECE_PIXELS * pixel
        self._beyond = 0.0
        self._poles: list[shapely.Point] = []
        if crs.is_geographic:
            self._piece = min(self._piece, _MAX_DEGREES / self._degrees)
            self._beyond = pixel * self._degrees
        else:
            poles = [self._pole(latitude) for latitude in (-90, 90)]
            self._poles = [pole for pole in poles if pole is not None]

    def contains(self, frame: shapely.Polygon) -> bool:
        """Whether all corners and edges have a place on the earth.

        Grids that count from the centres of their pixels may end half a pixel
        beyond a pole.
        """
        corners = shapely.get_coordinates(self._in_pieces(frame)).T
        _, latitudes = self._to_geodetic.transform(*corners)
        limit = 90 + self._beyond
        return bool((np.abs(latitudes) * self._degrees <= limit).all())

    def area(self, polygon: shapely.Polygon) -> float:
        """Square metres on the ellipsoid."""
        rings = shapely.get_rings(self._in_pieces(polygon))
        outer, *holes = (self._ring_area(ring) for ring in rings)
        return outer - sum(holes)

    def to_wgs84(self, polygon: shapely.Polygon) -> BaseGeometry:
        """Longitudes from -180 to 180; what crosses the 180th meridian is cut."""
        polygon = self._in_pieces(self._off_the_poles(polygon))
        moved = shapely.transform(polygon, self._to_degrees)
        west, _, east, _ = moved.bounds
        if -180 <= west and east <= 180 and east - west < 180:
            return moved
        # Longitudes that go on beyond 180 where a ring crosses the meridian.
        parts = shapely.union_all(
            [_unwrapped(part) for part in shapely.get_parts(moved)]
        )
        return _cut_at_antimeridian(parts)

    def _pole(self, latitude: int) -> shapely.Point | None:
        """Where a pole is in the coordinates of the system, if it has such a place."""
        place = self._to_wgs84.transform(
            0, latitude, direction=TransformDirection.INVERSE
        )
        return shapely.Point(place) if np.isfinite(place).all() else None

    def _in_pieces(self, geometry: BaseGeometry) -> BaseGeometry:
        near = _POLAR_PIECES * self._piece
        polar = any(geometry.distance(pole) < near for pole in self._poles)
        return shapely.segmentize(geometry, self._pixel if polar else self._piece)

    def _off_the_poles(self, polygon: shapely.Polygon) -> BaseGeometry:
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


def _transformer(source: object, target: object) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _unwrapped(polygon: shapely.Polygon) -> BaseGeometry:
    """A polygon without jumps from 180 to -180."""
    outer, *holes = (_region(ring) for ring in shapely.get_rings(polygon))
    # A hole may have been unwrapped to another turn than the outline around it.
    turns = [translate(hole, 360 * turn) for hole in holes for turn in range(-2, 3)]
    return outer.difference(shapely.union_all(turns))


def _region(ring: shapely.LinearRing) -> BaseGeometry:
    longitudes, latitudes = shapely.get_coordinates(ring).T
    longitudes = np.unwrap(longitudes, period=360)
    corners = list(zip(longitudes, latitudes, strict=True))
    if abs(longitudes[-1] - longitudes[0]) > 180:
        # Once around the earth: a pole is inside.
        pole = math.copysign(90, latitudes.mean())
        corners += [(longitudes[-1], pole), (longitudes[0], pole)]
    return shapely.make_valid(shapely.Polygon(corners))


def _cut_at_antimeridian(polygons: BaseGeometry) -> BaseGeometry:
    west, _, east, _ = polygons.bounds
    parts = []
    for turn in range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360)):
        strip = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        parts.append(translate(polygons.intersection(strip), -360 * turn))
    areas = shapely.get_parts(shapely.get_parts(shapely.union_all(parts)))
    return shapely.MultiPolygon([part for part in areas if part.area > 0])
