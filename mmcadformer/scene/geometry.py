# SPDX-License-Identifier: Apache-2.0
"""From pixels to the map, to square metres and to GeoJSON."""

from __future__ import annotations

import pyproj
import rasterio
import shapely
from affine import Affine
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

from .lonlat import LonLat

# RFC 7946, section 11.2: 7 digits are about a centimetre.
DIGITS = 7
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
        self.on_earth = self.crs is not None and _has_longitudes(self.crs)
        if self.on_earth:
            self._lonlat = LonLat(self.crs, _pixel_side(self.transform))
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
        return self._lonlat.area(polygon) if self.on_earth else None

    def to_wgs84(self, polygon: shapely.Polygon) -> BaseGeometry:
        """From map coordinates to longitude and latitude as RFC 7946 wants them.

        Rings run anticlockwise around the inside, coordinates have 7 digits, and
        what crosses the 180th meridian is cut in two there.
        """
        polygon = self._lonlat.to_wgs84(polygon)
        rounded = shapely.set_precision(polygon, 10.0**-DIGITS)
        # Pixels of less than a centimetre would vanish.
        polygon = polygon if rounded.is_empty else rounded
        parts = [
            shapely.geometry.polygon.orient(part)
            for part in shapely.get_parts(polygon)
            if part.geom_type == 'Polygon'
        ]
        return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)

    def _check_place(self, height: int, width: int) -> None:
        frame = self.to_map(shapely.box(0, 0, width, height))
        if not self._lonlat.contains(frame):
            raise ValueError(
                f'the scene reaches from {frame.bounds[:2]} to {frame.bounds[2:]} in '
                f'{self.crs.name}, which is no place on the earth: its coordinate '
                'system or its geotransform is wrong'
            )


def _pixel_side(transform: Affine) -> float:
    return abs(transform.determinant) ** 0.5


def _has_longitudes(crs: pyproj.CRS) -> bool:
    """Whether positions on the earth, and not on another body, can be told."""
    if crs.geodetic_crs is None or crs.is_geocentric:
        return False
    try:
        pyproj.Transformer.from_crs(crs, 'EPSG:4326')
    except pyproj.exceptions.ProjError:
        return False
    return True
