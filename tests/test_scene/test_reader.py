# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from mmcadformer.imagery.blocks import BlockCache
from mmcadformer.scene import Reading, SceneReader

FILL = (9, 8, 7)


def read_all(path, reading=None):
    with SceneReader(path, reading) as reader:
        return reader.read(0, 0, reader.height, reader.width, FILL)


@pytest.mark.parametrize(
    'name, profile',
    [
        ('a.tif', dict(tiled=True, blockxsize=64, blockysize=64, compress='deflate')),
        ('b.tif', dict(interleave='band')),
        ('c.tif', dict(driver='COG')),
        ('d.jp2', dict(driver='JP2OpenJPEG', quality=100, reversible=True)),
        ('e.png', dict(driver='PNG')),
    ],
)
def test_eight_bits_come_unchanged_through_any_window(make_scene, blobs, name, profile):
    picture = blobs(150, 200)
    path = make_scene(picture, name, **profile)
    with SceneReader(path) as reader:
        assert (reader.height, reader.width) == (150, 200)
        assert reader.crs is None and reader.transform is None
        for row, column, height, width in ((0, 0, 150, 200), (13, 50, 70, 90)):
            found, valid = reader.read(row, column, height, width, FILL)
            assert np.array_equal(found, picture[row:, column:][:height, :width])
            assert valid.all()
            assert reader.read_valid(row, column, height, width).all()


def test_bands_are_found_by_colour_by_order_or_by_number(make_scene, blobs):
    picture = blobs(40, 50)
    colors = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    turned = make_scene(picture[..., ::-1], colors=colors)
    assert np.array_equal(read_all(turned)[0], picture)

    infrared = np.dstack([picture, picture[..., :1] // 2])
    path = make_scene(infrared, 'nir.tif', photometric='minisblack', alpha='no')
    assert np.array_equal(read_all(path)[0], picture)
    false_color, _ = read_all(path, Reading(bands=(4, 1, 2)))
    assert np.array_equal(false_color, infrared[..., [3, 0, 1]])
    gray, _ = read_all(path, Reading(bands=(2,)))
    assert np.array_equal(gray, picture[..., [1, 1, 1]])


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_single_band_and_palette_become_colour(make_scene, tmp_path):
    gray = np.arange(200, dtype=np.uint8).reshape(10, 20)
    found, _ = read_all(make_scene(gray))
    assert np.array_equal(found, np.stack([gray] * 3, axis=-1))

    path = tmp_path / 'palette.tif'
    palette = {i: (i, 255 - i, i // 2, 255) for i in range(256)}
    with rasterio.open(
        path, 'w', driver='GTiff', width=20, height=10, count=1, dtype='uint8'
    ) as file:
        file.write(gray, 1)
        file.write_colormap(1, palette)
    found, _ = read_all(path)
    assert found[3, 5].tolist() == list(palette[65][:3])


def test_many_bits_are_stretched_by_percentiles_of_each_band(make_scene):
    rng = np.random.default_rng(0)
    scene = rng.integers(1000, 3000, (300, 400, 3), dtype=np.uint16)
    scene[..., 1] += 5000
    found, valid = read_all(make_scene(scene))
    assert valid.all()
    for band in range(3):
        low, high = np.percentile(scene[..., band], (2, 98))
        expected = np.clip((scene[..., band] - low) / (high - low), 0, 1) * 255
        assert np.abs(found[..., band] - expected).max() <= 0.51

    found, _ = read_all(
        make_scene(scene), Reading(value_range=(1000, 3000, 6000, 8000, 0, 4000))
    )
    expected = (scene - [1000, 6000, 0.0]) / [2000, 2000, 4000] * 255
    assert np.abs(found - expected).max() <= 0.51


def test_the_stretch_of_a_large_scene_comes_from_a_sample(make_scene, monkeypatch):
    rng = np.random.default_rng(0)
    scene = rng.normal(500, 100, (2000, 1500)).astype(np.float32)
    path = make_scene(scene, tiled=True)
    sizes = []
    original = SceneReader._read

    def count(self, window, *args):
        sizes.append(window.width * window.height)
        return original(self, window, *args)

    monkeypatch.setattr(SceneReader, '_read', count)
    with SceneReader(path) as reader:
        assert max(sizes) <= 64 * 64 and sum(sizes) < scene.size / 2
        low, high = np.percentile(scene, (2, 98))
        assert reader.stretch.low[0] == pytest.approx(low, abs=2)
        assert reader.stretch.high[0] == pytest.approx(high, abs=2)


@pytest.mark.parametrize(
    'name, profile',
    [
        ('a.jp2', dict(driver='JP2OpenJPEG', quality=100, reversible=True)),
        ('b.tif', dict(tiled=True, blockxsize=1024, blockysize=640)),
        ('c.tif', dict(blockysize=1300, compress='deflate', interleave='band')),
    ],
)
def test_large_blocks_are_put_together_right(make_scene, name, profile):
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (1300, 1500, 4), dtype=np.uint8)
    if name.endswith('.tif'):
        profile = dict(profile, photometric='minisblack', alpha='no')
    path = make_scene(scene, name, **profile)
    with SceneReader(path, Reading(bands=(4, 1, 2))) as reader:
        windows = [(0, 0, 1300, 1500), (1000, 1000, 300, 500), (1023, 1023, 2, 2)]
        windows += [
            (*rng.integers(0, (1200, 1400)), *rng.integers(1, 100, 2))
            for _ in range(40)
        ]
        for row, column, height, width in windows:
            found, valid = reader.read(row, column, height, width, FILL)
            expected = scene[row : row + height, column : column + width][
                ..., [3, 0, 1]
            ]
            assert np.array_equal(found, expected) and valid.all()


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_blocks_beyond_the_budget_are_forgotten(make_scene):
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (1200, 1100, 3), dtype=np.uint8)
    path = make_scene(scene, tiled=True, blockxsize=512, blockysize=512)
    with rasterio.open(path) as file:
        cache = BlockCache(file, budget=2 * 512 * 512 * 3)
        for _ in range(3):
            for column in (0, 300, 600):
                window = Window(column, 100, 500, 900)
                found = cache.read([1, 2, 3], window).transpose(1, 2, 0)
                assert np.array_equal(found, scene[100:1000, column : column + 500])
                kept = sum(block.nbytes for block in cache._blocks.values())
                assert 0 < kept <= 2 * 512 * 512 * 3


def test_few_bits_fill_the_range(make_scene):
    scene = np.arange(16, dtype=np.uint8).reshape(4, 4).repeat(5, 0).repeat(5, 1)
    found, _ = read_all(make_scene(scene, nbits=4))
    assert np.array_equal(found[..., 0], scene * 17)
    assert (found == found[..., :1]).all()


def test_missing_pixels_in_all_the_ways_files_say_so(make_scene, blobs):
    picture = blobs(60, 80) | 1
    hole = np.zeros((60, 80), bool)
    hole[10:30, 5:25] = True
    picture[40, 40] = (0, 9, 9)  # one band at the nodata value: still a pixel

    holed = np.where(hole[..., None], 0, picture).astype(np.uint8)
    alpha = np.dstack([picture, np.where(hole, 0, 255).astype(np.uint8)])
    floating = np.where(hole[..., None], np.nan, picture).astype(np.float32)
    floating[50, 50, 2] = np.inf
    cases = [
        (make_scene(holed, 'nodata.tif', nodata=0), None),
        (make_scene(holed, 'given.tif'), Reading(nodata=0)),
        (
            make_scene(
                alpha,
                'alpha.tif',
                colors=[
                    ColorInterp.red,
                    ColorInterp.green,
                    ColorInterp.blue,
                    ColorInterp.alpha,
                ],
            ),
            None,
        ),
    ]
    for path, reading in cases:
        found, valid = read_all(path, reading)
        assert np.array_equal(valid, ~hole), path
        assert (found[hole] == FILL).all()
        assert np.array_equal(found[~hole], picture[~hole])

    with SceneReader(make_scene(floating, 'nan.tif')) as reader:
        found, valid = reader.read(0, 0, 60, 80, FILL)
        hole[50, 50] = True
        assert np.array_equal(valid, ~hole) and (found[hole] == FILL).all()
        assert np.array_equal(reader.read_valid(5, 0, 50, 80), valid[5:55])


@pytest.mark.parametrize('value', [0, 7, 255])
@pytest.mark.parametrize('said', ['by the file', 'by the user'])
def test_alpha_and_nodata_count_both(make_scene, blobs, value, said):
    picture = blobs(60, 80) | 1
    picture[picture == value] = 9
    transparent, missing = np.zeros((2, 60, 80), bool)
    transparent[10:30, 5:25] = missing[20:50, 40:60] = True
    picture[missing] = value
    alpha = np.where(transparent, 0, 255).astype(np.uint8)
    path = make_scene(
        np.dstack([picture, alpha]),
        colors=[
            ColorInterp.red,
            ColorInterp.green,
            ColorInterp.blue,
            ColorInterp.alpha,
        ],
        nodata=value if said == 'by the file' else None,
    )
    reading = Reading(nodata=value if said == 'by the user' else None)
    with SceneReader(path, reading) as reader:
        found, valid = reader.read(0, 0, 60, 80, FILL)
        assert np.array_equal(valid, ~(transparent | missing))
        assert np.array_equal(found[valid], picture[valid])
        assert np.array_equal(reader.read_valid(15, 3, 30, 70), valid[15:45, 3:73])


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
@pytest.mark.parametrize('inside', [True, False])
def test_masks_of_files_count_beside_a_given_nodata(make_scene, blobs, inside):
    picture = blobs(60, 80) | 1
    picture[:5] = 0
    hole = np.zeros((60, 80), bool)
    hole[10:30, 5:25] = True
    path = make_scene(picture)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        with rasterio.open(path, 'r+') as file:
            file.write_mask(~hole)
    assert path.with_name('scene.tif.msk').exists() != inside
    _, valid = read_all(path)
    assert np.array_equal(valid, ~hole)
    _, valid = read_all(path, Reading(nodata=0))
    hole[:5] = True
    assert np.array_equal(valid, ~hole)


def test_a_scene_of_which_little_has_data_is_stretched_by_that(make_scene):
    """Between the squares of the sample."""
    scene = np.zeros((1200, 1300), np.uint16)
    patch = np.arange(100, 200, dtype=np.uint16).reshape(10, 10)
    scene[66:76, 69:79] = patch
    found, valid = read_all(make_scene(scene, nodata=0))
    assert valid.sum() == 100
    low, high = np.percentile(patch, (2, 98))
    expected = np.clip((patch - low) / (high - low), 0, 1) * 255
    assert np.abs(found[66:76, 69:79, 0] - expected).max() < 20


def test_parts_of_a_file_are_scenes(make_scene, blobs, utm, tmp_path):
    pictures = dict(one=blobs(40, 50), two=blobs(40, 50, seed=1))
    for number, (table, picture) in enumerate(pictures.items()):
        options = dict(RASTER_TABLE=table, TILE_FORMAT='PNG', **utm)
        if number:
            options['APPEND_SUBDATASET'] = 'YES'
        make_scene(picture, 'both.gpkg', driver='GPKG', **options)
    path = tmp_path / 'both.gpkg'
    with pytest.raises(ValueError, match='give one of its parts.*:two'):
        SceneReader(path)
    found, _ = read_all(f'GPKG:{path}:two')
    assert np.array_equal(found, pictures['two'])
    with pytest.raises(ValueError, match='nowhere.gpkg'):
        SceneReader('GPKG:nowhere.gpkg:one')


def test_a_constant_band_is_no_error(make_scene):
    found, valid = read_all(make_scene(np.full((20, 20, 3), 700, np.uint16)))
    assert valid.all() and len(np.unique(found)) == 1


def test_crs_can_be_given(make_scene, utm):
    path = make_scene(np.zeros((5, 5), np.uint8), transform=utm['transform'])
    with SceneReader(path, Reading(crs='EPSG:32633')) as reader:
        assert reader.crs.to_epsg() == 32633
        assert reader.transform == utm['transform']
    with pytest.raises(ValueError, match='EPSG:99999999'):
        SceneReader(path, Reading(crs='EPSG:99999999'))


def test_a_cut_off_file_is_named_with_the_place(make_scene, blobs):
    path = make_scene(blobs(400, 400), 'cut.tif', tiled=True, compress='deflate')
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r'cut\.tif.*(damaged|not a raster)'):
        read_all(path)


def test_files_that_cannot_be_read_are_named(tmp_path, make_scene):
    with pytest.raises(FileNotFoundError, match='nowhere.tif'):
        SceneReader(tmp_path / 'nowhere.tif')
    text = tmp_path / 'text.tif'
    text.write_text('no picture')
    with pytest.raises(ValueError, match='text.tif.*not a raster'):
        SceneReader(text)
    head = tmp_path / 'head.tif'
    head.write_bytes(b'II*\0')
    with pytest.raises(ValueError) as error:
        SceneReader(head)
    assert str(error.value).count('head.tif') == 1
    with pytest.raises(ValueError, match='complex'):
        SceneReader(make_scene(np.zeros((4, 4), np.complex64), 'radar.tif'))


@pytest.mark.parametrize(
    'options, word',
    [
        (dict(bands=(1, 2)), 'three'),
        (dict(bands=(1, 2, 9)), 'band 9'),
        (dict(bands=(0,)), 'band 0'),
        (dict(value_range=(1, 2, 3)), '2 numbers'),
        (dict(value_range=(5, 5)), 'below'),
        (dict(value_range=(0, float('nan'))), 'below'),
        (dict(percentiles=(98, 2)), 'rise'),
    ],
)
def test_options_that_do_not_fit_are_refused(make_scene, options, word):
    path = make_scene(np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(ValueError, match=word):
        SceneReader(path, Reading(**options))
