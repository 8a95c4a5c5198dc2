# SPDX-License-Identifier: Apache-2.0
"""Objects of many scenes in one GeoPackage."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyogrio
import pyproj
import shapely

from ..imagery import open_raster
from ..utils.files import UNFINISHED
from ..utils.log import warn
from .geometry import Georeference
from .vectors import write_layer


@dataclass(frozen=True)
class _Part:
    """What a scene adds."""

    scene: str
    place: Georeference
    fields: dict[str, np.ndarray]
    shapes: np.ndarray


def merge_scenes(file: Path, scenes: Sequence[tuple[str, dict]]) -> None:
    """Puts the GeoPackages of scenes together, with a field ``scene``.

    They are in the coordinates of the scenes if these share a system, else in
    EPSG:4326; scenes without a place on the earth are left out then, and named.

    Args:
        file: To be written, in one step; beside the results of the scenes.
        scenes: Name and summary of each.

    Raises:
        OSError: If it can't be written.
    """
    parts = list(_read_parts(file.parent, scenes))
    systems = [part.place.crs for part in parts]
    crs, kind = systems[0] if systems else None, 'Polygon'
    if any(system != crs for system in systems):
        crs, kind = pyproj.CRS('EPSG:4326'), 'MultiPolygon'
        lost = [part.scene for part in parts if not part.place.on_earth]
        if lost:
            warn(f'{file} leaves out what has no place on earth: {", ".join(lost)}')
        parts = [_in_degrees(part) for part in parts if part.place.on_earth]
    fields = _joined(parts)
    shapes = [shape for part in parts for shape in part.shapes]
    moment = max((_moment(summary) for _, summary in scenes), default=0)
    # GDAL wants the suffix at the end.
    unfinished = file.with_suffix(f'{UNFINISHED}.gpkg')
    unfinished.unlink(missing_ok=True)
    try:
        write_layer(unfinished, fields, shapes, crs, moment, kind)
    except RuntimeError as error:  # pyogrio's
        raise OSError(f'{file} cannot be written: {error}') from error
    os.replace(unfinished, file)


def _read_parts(folder: Path, scenes: Sequence[tuple[str, dict]]) -> Iterator[_Part]:
    for name, summary in scenes:
        [layer] = [file for file in summary['polygons'] if file.endswith('.gpkg')]
        meta, _, shapes, values = pyogrio.raw.read(folder / layer, layer='objects')
        with open_raster(folder / summary['expressions'][0]['mask']) as mask:
            has_place = not mask.transform.is_identity
            transform = mask.transform if has_place else None
            place = Georeference(mask.crs, transform, mask.height, mask.width)
        fields = dict(zip(meta['fields'], values, strict=True))
        yield _Part(name, place, fields, shapely.from_wkb(shapes))


def _in_degrees(part: _Part) -> _Part:
    """As in the scene's GeoJSON: without what lies beside the globe."""
    moved = [shapely.get_parts(part.place.to_wgs84(shape)) for shape in part.shapes]
    shapes = np.array([shapely.MultiPolygon(list(areas)) for areas in moved], object)
    found = np.array([len(areas) > 0 for areas in moved], bool)
    fields = {name: values[found] for name, values in part.fields.items()}
    return _Part(part.scene, part.place, fields, shapes[found])


def _joined(parts: Sequence[_Part]) -> dict[str, np.ndarray]:
    counts = [len(part.shapes) for part in parts]
    names = np.array([part.scene for part in parts], dtype=object)
    fields = dict(
        id=np.arange(1, sum(counts) + 1, dtype=np.int32),
        scene=np.repeat(names, counts),
    )
    dtypes = dict(
        expression=object, score=np.float64, area_m2=np.float64, pixels=np.int64
    )
    for name, dtype in dtypes.items():
        columns = [
            part.fields.get(name, np.full(count, np.nan))
            for part, count in zip(parts, counts, strict=True)
        ]
        fields[name] = np.concatenate([np.empty(0, dtype), *columns]).astype(dtype)
    return fields


def _moment(summary: dict) -> float:
    """When the scene was made: equal results are equal files."""
    try:
        return os.stat(summary['scene']).st_mtime
    except OSError:
        return 0
