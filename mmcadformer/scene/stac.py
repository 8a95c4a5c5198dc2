# SPDX-License-Identifier: Apache-2.0
"""A STAC item per scene, by which catalogues find its results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import rasterio
import shapely

from .geometry import Georeference, degrees_box
from .reader import SceneReader

VERSION = '1.0.0'
_PROJECTION = 'https://stac-extensions.github.io/projection/v2.0.0/schema.json'
_PROCESSING = 'https://stac-extensions.github.io/processing/v1.2.0/schema.json'
_COG = 'image/tiff; application=geotiff; profile=cloud-optimized'
_TYPES = {
    '.tif': _COG,
    '.geojson': 'application/geo+json',
    '.gpkg': 'application/geopackage+sqlite3',
    '.parquet': 'application/vnd.apache.parquet',
    '.json': 'application/json',
}


def stac_item(
    stem: str,
    reader: SceneReader,
    place: Georeference,
    facts: dict,
    files: Sequence[str],
) -> dict:
    """Describes the results of a scene.

    Args:
        stem: Its id.
        reader: The scene.
        place: Where it lies; without a place on the earth there is no geometry.
        facts: From :func:`~mmcadformer.scene.provenance.provenance`.
        files: Names of the results, in the folder of the item.
    """
    software, version = facts['software'].split()
    item: dict = dict(
        type='Feature',
        stac_version=VERSION,
        stac_extensions=[_PROJECTION, _PROCESSING],
        id=stem,
        geometry=None,
        properties={
            # STAC wants a date: that of the picture, or if it has none, of the run.
            'datetime': _acquired(reader) or facts['started'],
            'created': facts['started'],
            'processing:software': {software: version},
            'proj:shape': [reader.height, reader.width],
            **_projection(place),
        },
        links=[dict(rel='derived_from', href=_address(reader))],
        assets={name: _asset(name) for name in files},
    )
    if place.on_earth:
        outline = place.to_wgs84(place.frame)
        item['geometry'] = shapely.geometry.mapping(outline)
        item['bbox'] = degrees_box(outline)
    return item


def _address(reader: SceneReader) -> str:
    path = Path(reader.path)
    return path.absolute().as_uri() if path.is_file() else reader.path


def _acquired(reader: SceneReader) -> str | None:
    """When the picture was taken, as satellites' files tell it to GDAL."""
    date = reader.tags('IMAGERY').get('ACQUISITIONDATETIME', '')
    # Python before 3.11 knows no Z.
    text = date[:-1] + '+00:00' if date.endswith('Z') else date
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if len(date) < len('2026-01-01T00:00:00'):  # a day without a time
        return None
    zone = timezone.utc  # as GDAL has it where nothing is said
    moment = moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)
    return moment.isoformat().replace('+00:00', 'Z')


def _projection(place: Georeference) -> dict:
    if place.crs is None:
        return {}
    numbers = [float(number) for number in place.transform[:6]]
    code = rasterio.crs.CRS.from_wkt(place.crs.to_wkt()).to_authority()
    system: dict = {'proj:code': ':'.join(code) if code else None}
    if not code:
        system['proj:wkt2'] = place.crs.to_wkt()
    return {**system, 'proj:transform': numbers}


def _asset(name: str) -> dict:
    suffix = Path(name).suffix
    asset: dict = dict(href=f'./{name}')
    if suffix in _TYPES:
        asset['type'] = _TYPES[suffix]
    asset['roles'] = ['metadata' if suffix in ('.json', '.qml') else 'data']
    return asset
