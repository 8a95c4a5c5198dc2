# SPDX-License-Identifier: Apache-2.0
"""Scenes that say by control points or RPCs where they lie, put onto a map."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pyproj
import rasterio
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
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
        ValueError: If the control points have no coordinate system.
    """
    points, stated = file.gcps
    source = CRS.from_epsg(4326) if not points else crs or stated
    if source is None:
        raise ValueError(
            f'{file.name}: its ground control points have no coordinate system; name '
            "it (--crs, like 'EPSG:4326')"
        )
    kinds = file.colorinterp
    if ColorInterp.alpha in kinds and not _has_opacity(file, alpha):
        file = _without_alpha(file, closing)
        kinds = file.colorinterp
    has_alpha = ColorInterp.alpha in kinds
    options = dict(src_crs=source, add_alpha=not has_alpha)
    if not source.is_geographic:
        return closing.enter_context(WarpedVRT(file, crs=source, **options))
    with WarpedVRT(file, crs=source, **options) as degrees:
        west, south, east, north = degrees.bounds
    to_degrees = pyproj.Transformer.from_crs(source.to_wkt(), 4326, always_xy=True)
    middle = to_degrees.transform((west + east) / 2, (south + north) / 2)
    target = _map_around(*middle)
    return closing.enter_context(WarpedVRT(file, crs=target, **options))


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


def _without_alpha(
    file: rasterio.DatasetReader, closing: ExitStack
) -> rasterio.DatasetReader:
    """The same pixels, none of them called opacity."""
    memory = closing.enter_context(MemoryFile(ext='.vrt'))
    copy(file, memory.name, driver='VRT')
    kinds = [
        ColorInterp.undefined if kind == ColorInterp.alpha else kind
        for kind in file.colorinterp
    ]
    with rasterio.open(memory.name, 'r+') as plain:
        plain.colorinterp = kinds
    return closing.enter_context(rasterio.open(memory.name))
