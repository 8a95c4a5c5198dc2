# SPDX-License-Identifier: Apache-2.0
"""Polygons as GeoParquet 1.1, which GDAL's wheels for Python cannot write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyproj
import shapely

try:
    import pyarrow
    from pyarrow import parquet
except ImportError:
    pyarrow = None

VERSION = '1.1.0'


def check_parquet() -> None:
    """Raises an ImportError that says what is missing, if anything is."""
    if pyarrow is None:
        raise ImportError(
            "the format 'parquet' needs pyarrow: install the geo extra with pip "
            "install 'mmcadformer[geo]'"
        )


def write_parquet(
    file: Path,
    fields: dict[str, np.ndarray],
    polygons: Sequence[shapely.Polygon],
    crs: pyproj.CRS | None,
) -> None:
    """Writes polygons and their fields; equal content gives equal bytes.

    Args:
        file: To be written.
        fields: Values of each field, one a polygon; NaN becomes null.
        polygons: With x (east) before y, as GeoParquet wants in any system.
        crs: Their coordinate system; None is noted as unknown.

    Raises:
        OSError: If it can't be written.
    """
    shapes = np.array(polygons, dtype=object)
    geometry = dict(
        encoding='WKB',
        geometry_types=['Polygon'] if len(shapes) else [],
        # A missing key would mean longitude and latitude.
        crs=None if crs is None else crs.to_json_dict(),
    )
    if len(shapes):
        geometry['bbox'] = shapely.total_bounds(shapes).tolist()
    geo = dict(
        version=VERSION, primary_column='geometry', columns=dict(geometry=geometry)
    )
    columns = {
        name: pyarrow.array(
            values,
            pyarrow.string() if values.dtype == object else None,
            from_pandas=True,
        )
        for name, values in fields.items()
    }
    columns['geometry'] = pyarrow.array(shapely.to_wkb(shapes), pyarrow.binary())
    table = pyarrow.table(columns).replace_schema_metadata({'geo': json.dumps(geo)})
    parquet.write_table(table, file, compression='zstd')
