# SPDX-License-Identifier: Apache-2.0
"""Scenes that say by control points or RPCs where they lie, put onto a map."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pyproj
import rasterio
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError  # warping raises it as it is
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT

# Beyond them there is no UTM; the polar systems of the same family go on.
_SOUTH, _NORTH = -80, 84
_POLAR = {True: 'EPSG:5041', False: 'EPSG:5042'}
_SAMPLE = 256


def described_by(file: rasterio.DatasetReader) -> str | None:
    """How an open raster tells its place, if not by a transform."""
    if file.gcps[0]:
        return 'ground control points'
    return 'rational polynomial coefficients (RPC)' if file.rpcs is not None else None


def warped(
    file: rasterio.DatasetReader,
    crs: CRS | None,
    alpha: bool | None,
    closing: ExitStack,
) -> WarpedVRT:
    """An open raster as it lies on the map.

    Pixels are the nearest stored ones; an added alpha band tells where there are any.
    The map is the control points' own if that isn't in degrees, else UTM.

    Args:
        file: With control points or RPCs.
        crs: Of the control points, where the file doesn't say it.
        alpha: Whether a band that is tagged as alpha is the opacity; None finds out.
        closing: Closes what is opened here.

    Raises:
        ValueError: The control points have no coordinate system, or no map can be made
            of points or coefficients.
    """
    try:
        return closing.enter_context(_warped(file, crs, alpha, closing))
    except (RasterioError, CPLE_BaseError, ProjError) as error:
        raise ValueError(
            f'{file.name} cannot be put onto the map by its {described_by(file)} '
            f'({error}): leave --warp out'
        ) from None


def _warped(
    file: rasterio.DatasetReader,
    crs: CRS | None,
    alpha: bool | None,
    closing: ExitStack,
) -> WarpedVRT:
    points, stated = file.gcps
    source = CRS.from_epsg(4326) if not points else crs or stated
    if source is None:
        raise ValueError(
            f'{file.name}: its ground control points have no coordinate system; name '
            "it (--crs, like 'EPSG:4326')"
        )
    kinds = file.colorinterp
    if ColorInterp.alpha in kinds and not _has_opacity(file, alpha):
        kinds = tuple(
            ColorInterp.undefined if kind == ColorInterp.alpha else kind
            for kind in kinds
        )
        file = _changed(file, closing, colorinterp=kinds)
    add_alpha = ColorInterp.alpha not in kinds
    if not np.isfinite([(point.x, point.y) for point in points]).all():
        raise ValueError(
            f'{file.name}: its ground control points are not finite: leave --warp out'
        )
    if points and source.is_geographic:
        # GDAL would look for what lies beyond the 180th meridian on its other side.
        points, source = _projected(points, source)
        file = _changed(file, closing, gcps=(points, source))
    if points:
        return WarpedVRT(file, src_crs=source, crs=source, add_alpha=add_alpha)
    with WarpedVRT(file, src_crs=source, crs=source) as degrees:
        west, south, east, north = degrees.bounds
    target = _map_around((west + east) / 2, (south + north) / 2)
    return WarpedVRT(file, src_crs=source, crs=target, add_alpha=add_alpha)


def _projected(
    points: list[GroundControlPoint], source: CRS
) -> tuple[list[GroundControlPoint], CRS]:
    """Control points in degrees as points of a map of their surroundings."""
    x, y = np.array([(point.x, point.y) for point in points]).T
    to_degrees = pyproj.Transformer.from_crs(source.to_wkt(), 4326, always_xy=True)
    longitudes, latitudes = to_degrees.transform(x, y, errcheck=True)
    around = longitudes[0] + (longitudes - longitudes[0] + 180) % 360 - 180
    middle = [(values.min() + values.max()) / 2 for values in (around, latitudes)]
    target = _map_around(*middle)
    to_map = pyproj.Transformer.from_crs(
        source.to_wkt(), target.to_wkt(), always_xy=True
    )
    x, y = to_map.transform(x, y, errcheck=True)
    moved = [
        GroundControlPoint(point.row, point.col, *place, point.z)
        for point, *place in zip(points, x, y, strict=True)
    ]
    return moved, target


def _map_around(longitude: float, latitude: float) -> CRS:
    if not _SOUTH <= latitude <= _NORTH:
        return CRS.from_user_input(_POLAR[latitude > 0])
    longitude = (longitude + 180) % 360 - 180
    around = AreaOfInterest(longitude, latitude, longitude, latitude)
    found = query_utm_crs_info('WGS 84', around)[0]
    return CRS.from_epsg(int(found.code))


def _has_opacity(file: rasterio.DatasetReader, alpha: bool | None) -> bool:
    """GDAL tags any fourth band of a GeoTIFF as alpha, near infrared too."""
    if alpha is not None or file.driver != 'GTiff' or file.count < 4:
        return alpha is not False
    shape = tuple(min(length, _SAMPLE) for length in file.shape)
    band = file.colorinterp.index(ColorInterp.alpha) + 1
    values = file.read(band, out_shape=shape)
    top = np.iinfo(values.dtype).max if values.dtype.kind in 'iu' else 1
    return bool(np.isin(values, (0, top)).all())


def _changed(
    file: rasterio.DatasetReader, closing: ExitStack, **attributes: object
) -> rasterio.DatasetReader:
    """The same pixels, of which the file says something else."""
    memory = closing.enter_context(MemoryFile(ext='.vrt'))
    copy(file, memory.name, driver='VRT')
    with rasterio.open(memory.name, 'r+') as changed:
        for name, value in attributes.items():
            setattr(changed, name, value)
    return closing.enter_context(rasterio.open(memory.name))
