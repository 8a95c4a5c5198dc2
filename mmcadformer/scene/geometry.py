# SPDX-License-Identifier: Apache-2.0
"""From pixels to the map, to square metres and to GeoJSON.

Longitudes jump at the 180th meridian and mean nothing at the poles; areas and
outlines are right there, too.
"""

from __future__ import annotations

import functools
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
# Systems that are used on less of the earth than that have a place for every pixel.
_WORLD = 350
# A scene of the whole world: its parts, of so many along each axis, are less than half
# of it, which a ring around more than half would be taken for. Also where places are
# looked for at first.
_PARTS, _LOOK = 4, 64


class Georeference:
    """Where a scene lies, or a ValueError if that isn't a place on the earth.

    Only if it is ``on_earth`` can positions on the earth be told, and areas. The
    transform leads from (column, row) to the scene's coordinates. In pictures of a
    whole globe, such as the full disk of a geostationary satellite, pixels beside the
    globe have no position.
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
        self._size = (height, width)
        _check_transform(self.transform, height, width)
        if crs is not None and transform is not None:
            self.crs = pyproj.CRS.from_user_input(crs.to_wkt())
            self.on_earth = self._find_longitudes(self.crs)
        if self.on_earth:
            self.frame = self.to_map(shapely.box(0, 0, width, height))
            self._check_place()

    def to_map(self, polygon: shapely.Polygon) -> shapely.Polygon:
        """From (column, row) to the scene's coordinates."""
        return affine_transform(polygon, self.transform.to_shapely())

    def area(self, polygon: shapely.Polygon) -> float | None:
        """Square metres, on the ellipsoid, of a polygon in map coordinates.

        They are the same in any projection; None without a place on the earth. What
        lies beside the globe doesn't count.
        """
        if not self.on_earth:
            return None
        return sum(map(self._area, self._parts(self._with_place(polygon))))

    def to_wgs84(self, polygon: shapely.Polygon) -> BaseGeometry:
        """From map coordinates to longitude and latitude as RFC 7946 wants them.

        Rings run anticlockwise around the inside, coordinates have 7 digits, and
        what crosses the 180th meridian is cut in two there. What lies beside the globe
        is left out; nothing of it gives an empty geometry.
        """
        known = self._off_the_poles(self._with_place(polygon))
        if known.is_empty:
            return shapely.MultiPolygon()
        moved = shapely.transform(self._known_pieces(known), self._to_degrees)
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

    def has_place(self, polygon: BaseGeometry) -> bool:
        """Whether all of a polygon in map coordinates lies on the globe."""
        return not self._partial or bool(
            self._have_place(shapely.get_coordinates(self._in_pieces(polygon))).all()
        )

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
        self._partial = False
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

    def _check_place(self) -> None:
        """Whether the edges, or parts of a picture of the globe, have a place."""
        assert self.crs is not None
        corners = shapely.get_coordinates(self._in_pieces(self.frame))
        # Grids that count from the centres of their pixels may end half a pixel
        # beyond a pole.
        beyond = self._pixel * self._degrees if self.crs.is_geographic else 0
        _, latitudes = self._to_geodetic.transform(*corners.T)
        finds = (np.abs(latitudes) * self._degrees <= 90 + beyond).all()
        self._partial = self._shows_globe(self.crs) and not (
            finds and self._have_place(corners).all()
        )
        if not (finds or self._partial) or not self._somewhere():
            bounds = self.frame.bounds
            raise ValueError(
                f'the scene reaches from {bounds[:2]} to {bounds[2:]} in '
                f'{self.crs.name}, which is not a place on the earth: its coordinate '
                'system or its geotransform is wrong'
            )

    def _shows_globe(self, crs: pyproj.CRS) -> bool:
        """Whether it may be a picture of the globe, with something around it.

        Cylinders go on beyond the 180th meridian, where longitudes go on, too.
        """
        if crs.is_geographic:
            return False
        known = crs.to_authority()  # WKT may leave out where a system is used
        area = (pyproj.CRS(known) if known else crs).area_of_use
        if area is not None and not (
            area.east - area.west >= _WORLD or area.south <= -80 < 80 <= area.north
        ):
            return False
        at = partial(self._to_wgs84.transform, direction=TransformDirection.INVERSE)
        (x, _), (east, _) = at(10, 0), at(20, 0)
        (x_north, _), (east_north, _) = at(10, 60), at(20, 60)
        found = np.array([[x, east], [x_north, east_north]])
        if not np.isfinite(found).all():
            return True
        return not np.allclose(found[0], found[1], rtol=1e-9, atol=1e-3)

    def _have_place(self, corners: np.ndarray) -> np.ndarray:
        """Which positions on the map (N, 2) stand for one on the earth, bool (N,).

        Some projections give positions beside the globe those of its other end.
        """
        degrees = self._to_wgs84.transform(*corners.T)
        back = self._to_wgs84.transform(
            degrees[0], degrees[1], direction=TransformDirection.INVERSE
        )
        with np.errstate(invalid='ignore'):
            away = np.abs(np.stack(back, axis=-1) - corners).max(axis=-1)
            return away <= self._pixel

    def _somewhere(self) -> bool:
        return not self._partial or not self._globe.is_empty

    @functools.cached_property
    def _globe(self) -> BaseGeometry:
        """Pixels with a place, as one geometry in map coordinates.

        Squares of pixels that lie on its border are cut into four, down to one pixel.
        """
        height, width = self._size
        step = max(1, -(-max(height, width) // _LOOK))
        rows, columns = np.mgrid[0:height:step, 0:width:step].reshape(2, -1)
        low = np.stack([columns, rows], axis=-1)
        high = np.minimum(low + step, (width, height))
        whole = []
        while len(low):
            inside = self._corners_with_place(low, high)
            complete = inside.all(axis=0)
            whole.append(shapely.box(*low[complete].T, *high[complete].T))
            more = inside.any(axis=0) & ~complete & ((high - low).max(axis=-1) > 1)
            low, high = _quarters(low[more], high[more])
        boxes = shapely.union_all(np.concatenate(whole))
        return affine_transform(boxes, self.transform.to_shapely())

    def _corners_with_place(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Bool (5, N): the corners and the middle of N squares of pixels."""
        (left, top), (right, bottom) = low.T, high.T
        middle = ((left + right) / 2, (top + bottom) / 2)
        places = [(left, top), (right, top), (left, bottom), (right, bottom), middle]
        pixels = np.concatenate(places, axis=-1)
        matrix = np.array(tuple(self.transform)).reshape(3, 3)
        corners = (matrix[:2, :2] @ pixels + matrix[:2, 2:]).T
        return self._have_place(corners).reshape(len(places), -1)

    def _with_place(self, polygon: BaseGeometry) -> BaseGeometry:
        """The part of a polygon that lies on the globe."""
        if not self._partial or self.has_place(polygon):
            return polygon
        found = areas_of(polygon.intersection(self._globe))
        return found[0] if len(found) == 1 else shapely.MultiPolygon(found)

    def _parts(self, geometry: BaseGeometry) -> list[shapely.Polygon]:
        """Its polygons, in a scene of the whole world in parts of less than half."""
        west, south, east, north = self.frame.bounds
        geographic = self.crs is not None and self.crs.is_geographic
        if not self._partial and not (
            geographic and (east - west) * self._degrees > 180
        ):
            return areas_of(geometry)
        x, y = (
            np.linspace(west, east, _PARTS + 1),
            np.linspace(south, north, _PARTS + 1),
        )
        boxes = [
            shapely.box(x[i], y[j], x[i + 1], y[j + 1])
            for i in range(_PARTS)
            for j in range(_PARTS)
        ]
        return areas_of(
            shapely.MultiPolygon(
                [part for box in boxes for part in areas_of(geometry.intersection(box))]
            )
        )

    def _area(self, polygon: shapely.Polygon) -> float:
        area = 0.0
        for part in areas_of(self._known_pieces(polygon)):
            outer, *holes = map(self._ring_area, shapely.get_rings(part))
            area += outer - sum(holes)
        return area

    def _in_pieces(self, geometry: BaseGeometry) -> BaseGeometry:
        near = _POLAR_PIECES * self._piece
        polar = self._partial or any(
            geometry.distance(pole) < near for pole in self._poles
        )
        return shapely.segmentize(geometry, self._pixel if polar else self._piece)

    def _known_pieces(self, geometry: BaseGeometry) -> BaseGeometry:
        """In pieces, without corners that have no place.

        Maps that are cut open, such as Goode's, have gaps narrower than the squares
        of pixels by which the globe is looked for.
        """
        pieces = self._in_pieces(geometry)
        if not self._partial or self._have_place(shapely.get_coordinates(pieces)).all():
            return pieces
        return shapely.MultiPolygon(
            [
                shapely.Polygon(rings[0], rings[1:])
                for part in areas_of(pieces)
                if (rings := self._known_rings(part))
            ]
        )

    def _known_rings(self, polygon: shapely.Polygon) -> list[np.ndarray]:
        """Corners of its rings that have a place; none if the outer one is gone."""
        rings = map(shapely.get_coordinates, shapely.get_rings(polygon))
        outer, *holes = (ring[self._have_place(ring)] for ring in rings)
        kept = [hole for hole in holes if len(hole) > 2]
        return [outer, *kept] if len(outer) > 2 else []

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


def degrees_box(outline: BaseGeometry) -> list[float]:
    """West, south, east, north of what :meth:`Georeference.to_wgs84` gives.

    West is more than east where it crosses the 180th meridian (RFC 7946, section 5.2).
    """
    west, south, east, north = outline.bounds
    parts = [part.bounds for part in areas_of(outline)]
    if west == -180 and east == 180:
        left = [part for part in parts if part[0] == -180]
        right = [part for part in parts if part[0] != -180]
        end, start = max(p[2] for p in left), min((p[0] for p in right), default=0)
        if right and end < start:
            return [start, south, end, north]
    return [west, south, east, north]


def areas_of(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """The polygons of any geometry, without the lines and points that cuts leave."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if part.area > 0]


def _check_transform(transform: Affine, height: int, width: int) -> None:
    """Whether pixels become polygons that can be told apart."""
    numbers = ', '.join(f'{number:g}' for number in transform[:6])
    area = abs(transform.determinant)
    if not np.isfinite(transform[:6]).all():
        raise ValueError(f'its geotransform ({numbers}) is not finite')
    for column, row in ((0, 0), (width - 1, height - 1)):
        pixel = affine_transform(
            shapely.box(column, row, column + 1, row + 1), transform.to_shapely()
        )
        if not (0 < area < math.inf and math.isclose(pixel.area, area, rel_tol=0.01)):
            raise ValueError(
                f'its geotransform ({numbers}) gives pixels no area of their own'
            )


def _quarters(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, 2) of squares, cut into four; those without width are left out."""
    middle = (low + high) // 2
    x, y = np.s_[:, :1], np.s_[:, 1:]
    pairs = [
        (low, middle),
        (np.hstack([middle[x], low[y]]), np.hstack([high[x], middle[y]])),
        (np.hstack([low[x], middle[y]]), np.hstack([middle[x], high[y]])),
        (middle, high),
    ]
    starts, ends = (np.concatenate(corners) for corners in zip(*pairs, strict=True))
    wide = (ends > starts).all(axis=-1)
    return starts[wide], ends[wide]


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
