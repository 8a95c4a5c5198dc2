# SPDX-License-Identifier: Apache-2.0
"""Which scenes are meant by what a user types, and what their results are called."""

import json

import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import numpy as np

from mmcadformer.scene import find_scenes


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Names of files only; none of them is opened to find scenes."""
    monkeypatch.chdir(tmp_path)
    for name in (
        'a/s.tif', 'b/s.TIF', 'b/t.png', 'b/t.png.aux.xml', 'b/mosaic.vrt',
        'b/notes.txt', 'b/deep/u.jp2', 'x/a/s.tif', 'c/all_scenes.tif', 'w[1].tif',
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def paths(*inputs, asset=None):
    return [source.path for source in find_scenes(inputs, asset)]


def names(*inputs):
    return [source.name for source in find_scenes(inputs)]


def test_folders_give_their_pictures_and_patterns_what_they_match(tree):
    assert paths('b') == ['b/s.TIF', 'b/t.png']  # VRTs only where they are named
    assert paths('b/*t*') == ['b/mosaic.vrt', 'b/notes.txt', 'b/t.png']
    assert paths('**/*.jp2', 'w[1].tif') == ['b/deep/u.jp2', 'w[1].tif']
    assert paths('b/mosaic.vrt') == ['b/mosaic.vrt']
    assert paths('a/s.tif', 'a', './a/*.tif') == ['a/s.tif']  # each once
    assert paths('GPKG:b/x.gpkg:t', '/vsicurl/http://nowhere/s.tif') == [
        'GPKG:b/x.gpkg:t', '/vsicurl/http://nowhere/s.tif',
    ]  # fmt: skip


def test_lists_name_scenes_as_seen_from_here_or_from_their_folder(tree):
    lines = ['\ufeff# tiles', 'a/s.tif', '', 'deep/*.jp2 ', 'gone.tif']
    (tree / 'b/list.txt').write_bytes('\r\n'.join(lines).encode())
    found = find_scenes('@b/list.txt')
    assert [source.path for source in found] == ['a/s.tif', 'b/deep/u.jp2', 'gone.tif']
    assert [source.problem for source in found] == ['', '', 'gone.tif does not exist']


@pytest.mark.parametrize(
    ('given', 'error'),
    [
        ('@gone.txt', 'list of scenes gone.txt does not exist'),
        ('@empty.txt', 'list of scenes empty.txt is empty'),
        ('@bytes.txt', 'bytes.txt is not a list of scenes'),
        ('@nul.txt', 'nul.txt is not a list of scenes'),
        ('@nested.txt', 'nested.txt: a list names scenes'),
        ('*.nothing', r'no file matches \*\.nothing'),
        ('empty', r"the folder empty has no pictures .*'empty/\*\*/\*\.tif'"),
        ('plain.json', 'plain.json is not a STAC item'),
        ('broken.json', 'broken.json: not valid JSON'),
        ('none.json', 'none.json has no STAC items'),
        ([], 'no scene is given'),
    ],
)
def test_what_gives_no_scenes_is_named(tree, given, error):
    (tree / 'empty').mkdir()
    for name, text in {
        'empty.txt': '\n# nothing\n',
        'nested.txt': '@list.txt',
        'plain.json': '{"type": "Catalog", "links": []}',
        'broken.json': '{',
        'none.json': '{"type": "FeatureCollection", "features": []}',
    }.items():
        (tree / name).write_text(text)
    (tree / 'nul.txt').write_bytes(b'b/t\0.png')
    (tree / 'bytes.txt').write_bytes(b'\xff\xfe\0')
    with pytest.raises((FileNotFoundError, ValueError), match=error):
        find_scenes(given)


def test_scenes_of_one_stem_have_their_folders_names(tree):
    assert names('a/s.tif', 'b') == ['a_s', 'b_s', 't']
    assert names('a', 'x/a', 'b/t.png')[-1] == 't'
    same = names('a', 'x/a')
    assert same[1] == 'x_a_s' and same[0].endswith('_a_s') and len(set(same)) == 2
    (tree / 'a/s.png').touch()
    assert names('a/s.tif', 'a/s.png') == ['s_tif', 's_png']
    # That name is for the files about all of them.
    assert names('c') == ['c_all_scenes']
    many = names('a', 'b', 'c', 'x/a', 'GPKG:one.gpkg:t', 'GPKG:two.gpkg:t')
    assert len({name.casefold() for name in many}) == 8


@pytest.fixture
def items(tree):
    """A collection of two items, whose pictures are beside it and elsewhere."""
    (tree / 'items').mkdir()
    (tree / 'items/v 1.tif').touch()
    picture = dict(type='image/tiff; application=geotiff')
    one = dict(
        visual=dict(href='./v%201.tif', **picture),
        nir=dict(href=(tree / 'a/s.tif').as_uri(), **picture),
        small=dict(href='small.png', type='image/png', roles=['thumbnail']),
        about=dict(href='about.xml', type='application/xml'),
    )
    two = dict(visual=dict(href='https://nowhere/v.tif', **picture))
    return [
        dict(type='Feature', id=name, stac_version='1.0.0', assets=assets)
        for name, assets in (('one', one), ('two', two))
    ]


def test_items_give_their_local_assets(tree, items):
    file = tree / 'items/all.json'
    file.write_text(json.dumps(dict(type='FeatureCollection', features=items)))
    one, two = find_scenes(file, 'visual')
    assert one.path == str(tree / 'items/v 1.tif') and not one.problem
    assert 'item two: https://nowhere/v.tif is not on this machine' in two.problem
    one, _ = find_scenes(file, 'nir')
    assert one.path == str(tree / 'a/s.tif')
    problems = [source.problem for source in find_scenes(file)]
    assert 'item one: choose one of its assets by --asset: visual, nir' in problems[0]
    assert 'https://nowhere' in problems[1]  # has one only
    problems = [source.problem for source in find_scenes(file, 'red')]
    assert "item one: has no asset 'red', only: visual, nir" in problems[0]


def test_a_single_item_is_enough(tree, items):
    del items[0]['assets']['nir']
    file = tree / 'items/one.json'
    file.write_text(json.dumps(items[0]))
    assert paths(str(file)) == [str(tree / 'items/v 1.tif')]


def test_a_raster_that_is_a_folder_stays_one_scene(tree):
    """Arc grids are: GDAL opens the folder."""
    import rasterio

    folder = tree / 'grid'
    array = np.zeros((1, 4, 4), np.uint8)
    try:
        with rasterio.open(
            folder, 'w', driver='Zarr', height=4, width=4, count=1, dtype='uint8'
        ) as file:
            file.write(array)
    except rasterio.errors.RasterioError as error:
        pytest.skip(f'this GDAL writes no raster that is a folder: {error}')
    [source] = find_scenes(str(folder))
    assert source.path == str(folder) and not source.found
