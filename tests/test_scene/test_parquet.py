# SPDX-License-Identifier: Apache-2.0
"""GeoParquet, read back by pyarrow and shapely alone."""

import json

import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import numpy as np
import pyproj
import shapely
from pyarrow import parquet as reader

from mmcadformer.scene import Writing, parquet


@pytest.fixture
def write(segment, make_scene, blobs, tmp_path):
    def run(array=None, words=('red', 'blue'), **profile):
        scene = make_scene(blobs(90, 110) if array is None else array, **profile)
        result = segment(scene, words, writing=Writing(formats=('parquet',)))
        assert tmp_path / 'out/scene.parquet' in result.files
        return result, reader.read_table(tmp_path / 'out/scene.parquet')

    return run


def test_objects_are_all_there(write, utm):
    result, table = write(**utm)
    geo = json.loads(table.schema.metadata[b'geo'])
    assert geo['version'] == '1.1.0' and geo['primary_column'] == 'geometry'
    column = geo['columns']['geometry']
    assert column['encoding'] == 'WKB' and column['geometry_types'] == ['Polygon']
    assert pyproj.CRS.from_json_dict(column['crs']) == pyproj.CRS('EPSG:32633')
    shapes = shapely.from_wkb(np.array(table['geometry'].to_pylist(), dtype=object))
    assert column['bbox'] == list(shapely.total_bounds(shapes))
    assert [found.polygon for found in result.objects] == list(shapes)
    assert len(shapes) > 10
    columns = table.drop(['geometry']).to_pydict()
    assert columns == dict(
        id=list(range(1, len(shapes) + 1)),
        expression=[found.expression for found in result.objects],
        score=[round(found.score, 6) for found in result.objects],
        area_m2=[round(found.area, 2) for found in result.objects],
        pixels=[found.pixels for found in result.objects],
    )


def test_without_a_place_there_is_no_system_and_no_area(write):
    """A system that is left out would be that of longitude and latitude."""
    _, table = write()
    column = json.loads(table.schema.metadata[b'geo'])['columns']['geometry']
    assert column['crs'] is None and 'area_m2' not in table.column_names


def test_no_objects_give_a_table_of_the_same_columns(write, utm):
    _, table = write(np.zeros((20, 20, 3), np.uint8), **utm)
    geo = json.loads(table.schema.metadata[b'geo'])
    assert len(table) == 0 and geo['columns']['geometry']['geometry_types'] == []
    types = {field.name: str(field.type) for field in table.schema}
    assert types == dict(
        id='int32', expression='string', score='double', area_m2='double',
        pixels='int64', geometry='binary',
    )  # fmt: skip


def test_a_missing_package_is_named_at_once(monkeypatch):
    monkeypatch.setattr(parquet, 'pyarrow', None)
    with pytest.raises(ImportError, match=r'pyarrow: install the geo extra'):
        Writing(formats=('parquet',))
