# SPDX-License-Identifier: Apache-2.0
"""Results as vector files."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import shapely
from shapely.geometry.base import BaseGeometry

from ..utils.log import warn
from .geometry import DIGITS, Georeference
from .objects import FoundObject
from .parquet import write_parquet

# Formats by name: GDAL's driver (None is written without) and suffix.
FORMATS = {
    'geojson': (None, '.geojson'),
    'gpkg': ('GPKG', '.gpkg'),
    'shp': ('ESRI Shapefile', '.shp'),
    'parquet': (None, '.parquet'),
}
# A member of its own in GeoJSON: without features, nothing else would tell them.
_GEOJSON_FIELDS = dict(
    expression='string', score='number', area_m2='number', pixels='integer'
)
# What a text field of a Shapefile holds, in bytes.
_DBF_TEXT = 254


def write_vectors(
    file: Path,
    objects: Sequence[FoundObject],
    place: Georeference,
    form: str,
    moment: float,
) -> None:
    """Writes objects with number, expression, score and area; or raises an OSError.

    ``form`` is a key of ``FORMATS``: GeoJSON is in EPSG:4326, others have the
    coordinates of the scene. ``moment``, in seconds since 1970, is noted where a
    format wants a time: not the present one, so that equal results are equal files.
    """
    driver, _ = FORMATS[form]
    try:
        if form == 'geojson':
            _write_geojson(file, objects, place)
        elif form == 'parquet':
            polygons = [found.polygon for found in objects]
            write_parquet(file, _fields(objects, place), polygons, place.crs)
        else:
            assert driver is not None
            _write_layer(file, objects, place, driver, moment)
            _check_layer(file, objects)
    except (OSError, RuntimeError) as error:  # pyogrio's are the latter
        raise OSError(f'{file} cannot be written: {error}') from error


def add_style(file: Path, qml: str, moment: float) -> None:
    """Puts a style into a GeoPackage, where QGIS looks for it first.

    Args:
        file: With the layer ``objects``.
        qml: The style.
        moment: As in :func:`write_vectors`.
    """
    date = datetime.fromtimestamp(moment, tz=timezone.utc)
    fields: dict[str, str | bool | np.datetime64] = dict(
        f_table_catalog='', f_table_schema='', f_table_name='objects',
        f_geometry_column='geom', styleName='objects', styleQML=qml, styleSLD='',
        useAsDefault=True, description='by expression', owner='', ui='',
        update_time=np.datetime64(date.replace(tzinfo=None), 'ms'),
    )  # fmt: skip
    columns = [
        np.array([value], object if isinstance(value, str) else None)
        for value in fields.values()
    ]
    try:
        with _gdal_option('OGR_CURRENT_DATE', date.strftime('%Y-%m-%dT%H:%M:%S.000Z')):
            pyogrio.raw.write(
                str(file), None, columns, list(fields), layer='layer_styles',
                driver='GPKG', geometry_type=None, append=True, crs=None,
                layer_options=dict(FID='id'),
            )  # fmt: skip
    except (OSError, RuntimeError) as error:
        raise OSError(f'{file} cannot be written: {error}') from error


def _write_geojson(
    file: Path, objects: Sequence[FoundObject], place: Georeference
) -> None:
    cut = sum(not place.has_place(found.polygon) for found in objects)
    left_out, separator = 0, '\n'
    with file.open('w', encoding='utf-8') as stream:
        fields = json.dumps(_GEOJSON_FIELDS)
        stream.write(
            f'{{"type": "FeatureCollection", "fields": {fields}, "features": ['
        )
        for number, found in enumerate(objects, start=1):
            shape = place.to_wgs84(found.polygon)
            if shape.is_empty:
                left_out += 1
                continue
            geometry = shapely.geometry.mapping(shape)
            feature = dict(
                type='Feature',
                id=number,
                properties=dict(
                    expression=found.expression,
                    score=round(found.score, 6),
                    area_m2=None if found.area is None else round(found.area, 2),
                    pixels=found.pixels,
                ),
                geometry=dict(geometry, coordinates=_rounded(geometry['coordinates'])),
            )
            stream.write(separator + json.dumps(feature, ensure_ascii=False))
            separator = ',\n'
        stream.write('\n]}\n')
    if cut:
        warn(
            f'{left_out} of {len(objects)} objects lie beside the globe and are not in '
            f'the GeoJSON, {cut - left_out} in part'
        )


def _rounded(coordinates: float | Sequence) -> float | list:
    if isinstance(coordinates, float):
        return round(coordinates, DIGITS)
    return [_rounded(item) for item in coordinates]


def _write_layer(
    file: Path,
    objects: Sequence[FoundObject],
    place: Georeference,
    driver: str,
    moment: float,
) -> None:
    fields = _fields(objects, place)
    if driver == 'ESRI Shapefile':
        texts = _fit_into_dbf([found.expression for found in objects])
        fields['expression'] = np.array(texts, dtype=object)
    write_layer(
        file, fields, [f.polygon for f in objects], place.crs, moment, driver=driver
    )


def _fields(
    objects: Sequence[FoundObject], place: Georeference
) -> dict[str, np.ndarray]:
    fields = dict(
        id=np.arange(1, len(objects) + 1, dtype=np.int32),
        expression=np.array([found.expression for found in objects], dtype=object),
        score=np.array([round(found.score, 6) for found in objects], np.float64),
        area_m2=np.round(np.array([found.area for found in objects], np.float64), 2),
        pixels=np.array([found.pixels for found in objects], np.int64),
    )
    if not place.on_earth:
        del fields['area_m2']
    return fields


def write_layer(
    file: Path,
    fields: dict[str, np.ndarray],
    shapes: Sequence[BaseGeometry],
    crs: pyproj.CRS | None,
    moment: float,
    geometry_type: str = 'Polygon',
    driver: str = 'GPKG',
) -> None:
    """Writes a layer of shapes, all of one type, and their fields with GDAL.

    ``moment`` is as in :func:`write_vectors`; GDAL's errors are RuntimeErrors.
    """
    date = datetime.fromtimestamp(moment, tz=timezone.utc)
    options = {}
    if driver == 'ESRI Shapefile':
        options['DBF_DATE_LAST_UPDATE'] = date.strftime('%Y-%m-%d')
    with _gdal_option('OGR_CURRENT_DATE', date.strftime('%Y-%m-%dT%H:%M:%S.000Z')):
        with warnings.catch_warnings():
            # A scene without a coordinate system gives a layer without one.
            warnings.filterwarnings('ignore', "'crs' was not provided")
            pyogrio.raw.write(
                str(file),
                shapely.to_wkb(np.array(shapes, dtype=object)),
                list(fields.values()),
                list(fields),
                layer='objects' if driver == 'GPKG' else None,
                driver=driver,
                geometry_type=geometry_type,
                crs=None if crs is None else crs.to_wkt(),
                encoding='UTF-8',
                layer_options=options,
            )


def _check_layer(file: Path, objects: Sequence[FoundObject]) -> None:
    """Finds what a disk that was full when the file was closed has left out."""
    _, _, shapes, (pixels,) = pyogrio.raw.read(file, columns=['pixels'])
    complete = all(shape is not None for shape in shapes)
    if not complete or pixels.tolist() != [found.pixels for found in objects]:
        raise OSError('objects are missing in it; is the disk full?')


def _fit_into_dbf(expressions: list[str]) -> list[str]:
    short = [text.encode()[:_DBF_TEXT].decode(errors='ignore') for text in expressions]
    if short != expressions:
        warn(
            f'expressions of more than {_DBF_TEXT} bytes are cut in the Shapefile, '
            'which cannot hold them'
        )
    return short


@contextlib.contextmanager
def _gdal_option(name: str, value: str) -> Iterator[None]:
    before = pyogrio.get_gdal_config_option(name)
    pyogrio.set_gdal_config_options({name: value})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({name: before})
