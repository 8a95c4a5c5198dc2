# SPDX-License-Identifier: Apache-2.0
"""What visitors may send, and how it is read."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmcadformer.demo.uploads import Limits, check_sentences, read_picture

LIMITS = Limits(max_pixels=20_000, max_upload_mb=1, max_characters=40)


def huge_png(side):
    """A complete PNG header of a picture that nobody wants to decode."""
    body = b'IHDR' + struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack('>I', 13) + body + struct.pack('>I', zlib.crc32(body))
    return b'\x89PNG\r\n\x1a\n' + chunk + b'\0\0\0\0IDAT'


def cut(data):
    return data[: len(data) // 2]


def encoded(suffix, picture):
    return cv2.imencode(suffix, picture)[1].tobytes()


NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
BAD = {
    'text.txt': (b'no picture', 'text.txt is not a picture that can be read'),
    'text.png': (b'no picture', 'text.png is not a picture that can be read'),
    'empty.png': (b'', 'empty.png is empty'),
    'cut.jpg': (cut(encoded('.jpg', NOISE)), 'cut.jpg is cut off'),
    'cut.png': (cut(encoded('.png', NOISE)), 'cut.png is cut off'),
    'cut.tif': (cut(encoded('.tif', NOISE)), 'cut.tif '),
    'large.png': (huge_png(142), 'large.png is too large.*142 × 142.*infer_scene'),
    'bomb.png': (huge_png(60_000), 'bomb.png is too large for this page'),
    'heavy.png': (b'x' * (2**20 + 1), 'heavy.png is too large.*1.0 MB.*infer_scene'),
    # GDAL would open the file or the address that it names.
    'scene.vrt': (
        b'<VRTDataset rasterXSize="2" rasterYSize="2"><VRTRasterBand dataType="Byte" '
        b'band="1"><SimpleSource><SourceFilename>/etc/x.tif</SourceFilename>'
        b'</SimpleSource></VRTRasterBand></VRTDataset>',
        'scene.vrt is not a picture that can be read',
    ),
    # Pillow would start Ghostscript.
    'page.eps': (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'not a picture'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_files_are_named(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_picture(tmp_path / name, LIMITS)
    assert str(tmp_path) not in str(raised.value)  # of no use to a visitor


def test_deleted_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='after 120 minutes. Upload it again'):
        read_picture(tmp_path / 'gone.png', LIMITS)


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.webp', '.bmp'])
def test_eight_bits_are_read_as_in_training(tmp_path, suffix):
    path = tmp_path / f'picture{suffix}'
    path.write_bytes(encoded(suffix, NOISE))
    picture = read_picture(path, LIMITS)
    assert np.array_equal(picture.rgb, cv2.imread(str(path))[..., ::-1])
    assert picture.valid is None and picture.place is None
    assert picture.describe() == f'picture{suffix} · 50 × 40 px'


def test_grey_alpha_and_palette(tmp_path):
    grey = NOISE[..., 0]
    Image.fromarray(grey).save(tmp_path / 'grey.png')
    assert np.array_equal(
        read_picture(tmp_path / 'grey.png', LIMITS).rgb, np.dstack([grey] * 3)
    )
    alpha = np.full(grey.shape, 255, np.uint8)
    Image.fromarray(np.dstack([NOISE, alpha])).save(tmp_path / 'alpha.png')
    assert np.array_equal(read_picture(tmp_path / 'alpha.png', LIMITS).rgb, NOISE)
    palette = Image.fromarray(NOISE).quantize(16)
    palette.save(tmp_path / 'palette.png')
    assert np.array_equal(
        read_picture(tmp_path / 'palette.png', LIMITS).rgb,
        np.asarray(palette.convert('RGB')),
    )


def test_sixteen_bits_are_stretched(tmp_path, write_geotiff):
    values = np.random.default_rng(1).integers(200, 3000, (40, 50), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / 'deep.png'), values)
    write_geotiff(tmp_path / 'deep.tif', values[None])
    low, high = np.percentile(values, [2, 98])
    expected = np.clip((values - low) / (high - low), 0, 1) * 255
    for name in ('deep.png', 'deep.tif'):
        rgb = read_picture(tmp_path / name, LIMITS).rgb
        assert rgb.shape == (40, 50, 3) and rgb.dtype == np.uint8
        assert np.abs(rgb - expected[..., None]).max() <= 0.5 + 1e-6


def test_geotiff_with_place_and_missing_pixels(tmp_path, write_geotiff):
    bands = NOISE.transpose(2, 0, 1).clip(1)
    bands[:, :10] = 0
    path = write_geotiff(tmp_path / 'scene.tif', bands, nodata=0)
    picture = read_picture(path, LIMITS)
    assert picture.place.crs.to_epsg() == 32614
    assert not picture.valid[:10].any() and picture.valid[10:].all()
    assert np.array_equal(picture.rgb[10:], bands.transpose(1, 2, 0)[10:])
    assert picture.describe() == (
        'scene.tif · 50 × 40 px · georeferenced: WGS 84 / UTM zone 14N · '
        '25% without data'
    )


def test_limits_hold_for_rasters(tmp_path, write_geotiff):
    path = write_geotiff(tmp_path / 'scene.tif', np.ones((1, 200, 101), np.uint16))
    with pytest.raises(ValueError, match='scene.tif is too large.*101 × 200 px'):
        read_picture(path, LIMITS)


def test_place_that_is_none_on_earth_is_said(tmp_path, write_geotiff):
    rasterio = pytest.importorskip('rasterio')
    nowhere = rasterio.transform.from_origin(1e12, 1e12, 1, 1)
    bands = NOISE.transpose(2, 0, 1)
    path = write_geotiff(tmp_path / 'scene.tif', bands, transform=nowhere)
    picture = read_picture(path, LIMITS)
    assert picture.place is None
    assert 'not a place on the earth' in picture.describe()


def test_sentences():
    assert check_sentences(' the pool ', None, LIMITS) == ['the pool']
    assert check_sentences('the pool', ' the lake', LIMITS) == ['the pool', 'the lake']
    assert check_sentences('the pool', 'the pool ', LIMITS) == ['the pool']
    for empty in (None, '', ' \n'):
        with pytest.raises(ValueError, match='Type a sentence'):
            check_sentences(empty, 'the lake', LIMITS)
    for pair in (('x' * 41, ''), ('the pool', 'x' * 41)):
        with pytest.raises(ValueError, match='too long: 41 characters, the limit is'):
            check_sentences(*pair, LIMITS)


@pytest.mark.parametrize('name', ['max_pixels', 'queue', 'keep_minutes'])
def test_limits_must_be_positive(name):
    option = '--' + name.replace('_', '-')
    with pytest.raises(ValueError, match=f'{option} must be more than 0, not 0'):
        Limits(**{name: 0})


def test_rasters_in_huge_blocks_are_refused_before_they_are_decoded(
    tmp_path, write_geotiff
):
    bands = np.zeros((250, 512, 512), np.uint8)
    path = write_geotiff(tmp_path / 'bands.tif', bands, interleave='pixel')
    one_block = write_geotiff(
        tmp_path / 'block.tif',
        bands,
        interleave='pixel',
        tiled=True,
        blockxsize=512,
        blockysize=512,
    )
    limits = Limits(max_pixels=512 * 512, max_upload_mb=100)
    assert read_picture(path, limits).rgb.shape == (512, 512, 3)  # in strips of a row
    with pytest.raises(ValueError, match=r'block\.tif has blocks of 62 MB.*the limit'):
        read_picture(one_block, limits)


def test_a_projection_without_a_name_is_named_by_its_method(tmp_path, write_geotiff):
    path = write_geotiff(
        tmp_path / 'own.tif',
        np.full((3, 20, 20), 9, np.uint8),
        crs='+proj=laea +lat_0=40 +lon_0=-97 +datum=WGS84 +units=us-ft',
    )
    text = read_picture(path, LIMITS).describe()
    assert 'georeferenced: Lambert Azimuthal Equal Area' in text


def test_control_points_in_place_of_a_transform_are_said(tmp_path, write_geotiff):
    rasterio = pytest.importorskip('rasterio')
    path = write_geotiff(tmp_path / 'scene.tif', NOISE.transpose(2, 0, 1), crs=None)
    corners = [(0, 0, 12, 49), (0, 50, 13, 49), (40, 0, 12, 48)]
    points = [rasterio.control.GroundControlPoint(*corner) for corner in corners]
    with rasterio.open(path, 'r+') as file:
        file.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    picture = read_picture(path, LIMITS)
    assert picture.place is None
    assert 'ground control points: results lie in pixels' in picture.describe()
