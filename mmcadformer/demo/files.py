# SPDX-License-Identifier: Apache-2.0
"""The files of a result that a visitor can download."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import mmcv
import numpy as np

from ..apis import ReferringResult
from ..utils.files import write_text
from ..utils.outlines import trace_outlines
from .uploads import Picture

if TYPE_CHECKING:  # it needs the geo extra
    from ..scene import Georeference

# Of the picture's name and of the sentence in names of files.
_MAX_BYTES = 80
_COORDINATES = (
    'pixels of a picture of {width} x {height}: x to the right, y down, from its upper '
    'left corner. Not longitude and latitude: the picture has no georeference'
)


@dataclass(frozen=True)
class Files:
    """Files of a result.

    Attributes:
        mask: PNG of the picture's size, 255 on the object.
        geojson: Polygons, in EPSG:4326 if the place is known, else in pixels.
        geotiff: The mask with the picture's coordinates, if it has any.
        area: In square metres, if the place is known.
    """

    mask: Path
    geojson: Path
    geotiff: Path | None
    area: float | None


def empty_folder(folder: Path) -> Path:
    """Makes a folder, without what it held."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_files(result: ReferringResult, picture: Picture, folder: Path) -> Files:
    """Writes the files of a result into a folder that has no results yet."""
    stem = folder / f'{_plain(Path(picture.name).stem)}_{_plain(result.expression)}'
    mask = stem.with_name(f'{stem.name}_mask.png')
    mmcv.imwrite(result.mask.astype(np.uint8) * np.uint8(255), str(mask))
    geojson = stem.with_name(f'{stem.name}.geojson')
    if picture.place is None:
        _write_pixel_geojson(result, geojson)
        return Files(mask, geojson, None, None)
    geotiff = stem.with_name(f'{stem.name}_mask.tif')
    area = _write_geo_files(result, picture, picture.place, geojson, geotiff)
    return Files(mask, geojson, geotiff, area)


def _write_pixel_geojson(result: ReferringResult, file: Path) -> None:
    """Writes the connected parts of a mask in the form of GeoJSON.

    GeoJSON is meant for longitude and latitude; that these are pixels is said in the
    member ``coordinates_are``.
    """
    height, width = result.mask.shape
    content = dict(
        type='FeatureCollection',
        coordinates_are=_COORDINATES.format(width=width, height=height),
        features=list(_features(result)),
    )
    write_text(file, json.dumps(content, ensure_ascii=False) + '\n')


def _features(result: ReferringResult) -> Iterator[dict]:
    mask = result.mask.astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    for number in range(1, count):
        left, top, width, height, pixels = boxes[number].tolist()
        window = slice(top, top + height), slice(left, left + width)
        part = labels[window] == number
        yield dict(
            type='Feature',
            id=number,
            properties=dict(
                expression=result.expression,
                score=round(float(result.probability[window][part].mean()), 6),
                pixels=pixels,
            ),
            geometry=dict(type='Polygon', coordinates=list(_rings(part, (left, top)))),
        )


def _rings(part: np.ndarray, corner: tuple[int, int]) -> Iterator[list]:
    """The closed outline of one connected part, then those of its holes."""
    for outline in sorted(trace_outlines(part), key=lambda ring: ring.is_hole):
        ring = (outline.corners + corner).tolist()
        yield [*ring, ring[0]]


def _write_geo_files(
    result: ReferringResult,
    picture: Picture,
    place: Georeference,
    geojson: Path,
    raster: Path,
) -> float:
    """Writes polygons in EPSG:4326 (RFC 7946), and the mask as a GeoTIFF.

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

    mask = result.mask.astype(np.uint8)
    if picture.valid is not None:
        mask[~picture.valid] = MASK_NO_DATA
    height, width = mask.shape
    wkt = place.crs.to_wkt() if place.crs else None
    strips = [(0, quantise(result.probability))]
    with limited_cache():
        writer = RasterWriter(height, width, wkt, place.transform)
        writer.write_mask(raster, [(0, mask)], result.expression)
        found, _ = trace_objects(
            raster, result.expression, place, ObjectFilter(), strips
        )
    write_vectors(geojson, found, place, 'geojson', moment=0)
    return sum(item.area or 0.0 for item in found)


def _plain(text: str) -> str:
    """Text as part of a file name; file systems count bytes."""
    text = re.sub(r'[^\w-]+', '_', text).strip('_')
    return text.encode()[:_MAX_BYTES].decode(errors='ignore').strip('_') or 'picture'
