# SPDX-License-Identifier: Apache-2.0
"""The part of the page that needs the geo extra: rasters and places on the earth.

Everything is read and written by the code for large scenes, so that the page gives
what ``tools/infer_scene.py`` would.
"""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .limits import Limits

if TYPE_CHECKING:
    from pyproj import CRS

    from ..apis import ReferringResult
    from .uploads import Picture

INSTALL_GEO = "install the geo extra: pip install -e '.[geo]'"
# Pixels without data get the colour that networks take for zero.
_FILL = (124, 116, 104)
_NAMELESS = ('unknown', 'unnamed')


def has_geo() -> bool:
    """Whether the geo extra is installed."""
    names = ('rasterio', 'shapely', 'pyogrio', 'pyproj')
    return all(importlib.util.find_spec(name) for name in names)


def read_raster(path: Path, limits: Limits) -> Picture:
    """Reads a GeoTIFF, a JPEG 2000 or a PNG of 16 bits.

    Raises:
        ValueError: If it can't be read or is too large.
    """
    from ..scene import SceneReader
    from .uploads import Picture

    _check_size(path, limits)
    with SceneReader(path) as reader:
        size = reader.height, reader.width
        rgb, valid = reader.read(0, 0, *size, _FILL)
        place, notes = _find_place(reader)
    return Picture(rgb, path.name, None if valid.all() else valid, place, notes)


def _check_size(path: Path, limits: Limits) -> None:
    """Refuses what is too large before a pixel is decoded."""
    import rasterio

    from ..scene import block_bytes, open_raster

    # What can't be opened is explained by who reads it.
    with suppress(rasterio.errors.RasterioError), open_raster(path) as file:
        limits.check_pixels(path.name, file.height, file.width)
        limits.check_block(path.name, block_bytes(file) if file.count else 0)


def _find_place(reader):
    """Where a scene lies, or None, and what to say about it."""
    from ..scene import Georeference

    try:
        place = Georeference(reader.crs, reader.transform, reader.height, reader.width)
    except ValueError as error:
        return None, (str(error),)
    if not place.on_earth:
        return None, ()
    return place, (f'georeferenced: {_name(place.crs)}',)


def _name(crs: CRS) -> str:
    """What to call a coordinate system; those without a name have a projection."""
    if crs.name not in _NAMELESS or crs.coordinate_operation is None:
        return crs.name
    return crs.coordinate_operation.method_name


def write_geo_files(
    result: ReferringResult, picture: Picture, geojson: Path, raster: Path
) -> float:
    """Writes polygons in EPSG:4326 (RFC 7946), and the mask as a GeoTIFF.

    Args:
        result: What was found.
        picture: A picture that has a place.
        geojson: File of the polygons.
        raster: File of the mask.

    Returns:
        Area on the ellipsoid in square metres.
    """
    from ..scene import (
        MASK_NO_DATA,
        ObjectFilter,
        RasterWriter,
        limited_cache,
        quantise,
        trace_objects,
        write_vectors,
    )

    place = picture.place
    mask = result.mask.astype(np.uint8)
    if picture.valid is not None:
        mask[~picture.valid] = MASK_NO_DATA
    probability = quantise(result.probability)
    crs = place.crs.to_wkt()
    with limited_cache():
        writer = RasterWriter(*mask.shape, crs, place.transform)
        writer.write_mask(raster, [(0, mask)], result.expression)
        found, _ = trace_objects(
            raster, result.expression, place, ObjectFilter(), [(0, probability)]
        )
    write_vectors(geojson, found, place, 'geojson', moment=0)
    return sum(item.area for item in found)
