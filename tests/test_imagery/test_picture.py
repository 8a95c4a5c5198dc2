# SPDX-License-Identifier: Apache-2.0
"""The right pixels from any picture, whichever way it is opened."""

import io
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image, ImageCms
from rasterio.shutil import copy

from mmcadformer.imagery import Raster, Reading, read_picture, turn

pytestmark = pytest.mark.filterwarnings(
    'ignore::rasterio.errors.NotGeoreferencedWarning'
)
FILL = (124, 116, 104)


def both_ways(source, **options):
    """The picture, which windows of a raster must give too."""
    found = read_picture(source, **options)
    with Raster(source, Reading(**options)) as raster:
        rgb, valid = raster.read(0, 0, raster.height, raster.width, FILL)
        part, _ = raster.read(10, 20, 30, 40, FILL)
    assert np.array_equal(rgb, found.rgb) and np.array_equal(part, rgb[10:40, 20:60])
    assert valid.all() if found.valid is None else np.array_equal(valid, found.valid)
    return found


def encode(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    'form, options',
    [
        ('JPEG', dict(quality=80)),
        ('JPEG', dict(quality=95, subsampling=0, progressive=True)),
        ('PNG', {}),
        ('BMP', {}),
        ('WEBP', dict(quality=80)),
        ('WEBP', dict(lossless=True)),
        ('TIFF', dict(compression='tiff_deflate')),
    ],
)
@pytest.mark.parametrize('grey', [False, True])
def test_ordinary_pictures_are_what_training_has_always_seen(
    picture, tmp_path, form, options, grey
):
    """As OpenCV decodes them, to the byte."""
    image = Image.fromarray(picture[..., 0] if grey else picture)
    data = encode(image, form, **options)
    path = tmp_path / f'a.{form.lower()}'
    path.write_bytes(data)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    for found in (both_ways(path), read_picture(data)):
        assert np.array_equal(found.rgb, seen[..., ::-1])
        assert found.valid is None and not found.notes


def test_a_fourth_band_that_is_not_opacity_is_near_infrared(picture, write_tiff):
    infrared = picture[..., :1] // 2
    infrared[20:40, 30:50] = 0  # water
    for pixels in (
        np.dstack([picture, infrared]),
        np.dstack([picture, infrared]).astype(np.uint16) * 257,
    ):
        options = dict(value_range=(0, 65535)) if pixels.dtype == np.uint16 else {}
        path = write_tiff(pixels, photometric='RGB', alpha='YES')
        with rasterio.open(path) as file:
            assert file.colorinterp[3].name == 'alpha'
        found = both_ways(path, **options)
        assert np.array_equal(found.rgb, picture) and found.valid is None
        assert any('band 4' in note and 'infrared' in note for note in found.notes)
        forced = both_ways(path, alpha=True, **options)
        assert np.array_equal(forced.valid, infrared[..., 0] > 0)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_opacity_is_missing_or_not_and_changes_no_colour(picture, write_tiff, dtype):
    clear = np.zeros(picture.shape[:2], bool)
    clear[20:40, 30:50] = True
    top = np.iinfo(dtype).max
    scale = 257 if dtype == np.uint16 else 1
    alpha = np.where(clear, 0, top).astype(dtype)
    pixels = np.dstack([picture.astype(dtype) * scale, alpha])
    path = write_tiff(pixels, photometric='RGB', alpha='YES')
    options = dict(value_range=(0, 65535)) if dtype == np.uint16 else {}
    found = both_ways(path, **options)
    assert np.array_equal(found.valid, ~clear)
    assert np.array_equal(found.rgb[~clear], picture[~clear])
    assert (found.rgb[clear] == FILL).all()
    assert both_ways(path, alpha=False, **options).valid is None


def test_half_opaque_pixels_of_a_png_keep_their_colours(picture, tmp_path):
    alpha = np.full(picture.shape[:2], 100, np.uint8)
    alpha[:10] = 0
    path = tmp_path / 'a.png'
    Image.fromarray(np.dstack([picture, alpha])).save(path)
    found = both_ways(path)
    assert np.array_equal(found.valid, alpha > 0)
    assert np.array_equal(found.rgb[10:], picture[10:])


def test_palettes_are_colours_and_their_transparency_is_missing(picture, tmp_path):
    image = Image.fromarray(picture).convert('P')
    indices = np.array(image)
    expected = np.array(image.convert('RGB'))
    for name in ('a.png', 'a.tif'):
        image.save(tmp_path / name)
        assert np.array_equal(both_ways(tmp_path / name).rgb, expected)
    index = int(np.bincount(indices.ravel()).argmax())
    image.save(tmp_path / 'clear.png', transparency=index)
    found = both_ways(tmp_path / 'clear.png')
    assert np.array_equal(found.valid, indices != index)
    assert np.array_equal(found.rgb[found.valid], expected[indices != index])


def test_a_palette_of_16_bits(write_tiff):
    indices = np.arange(300, dtype=np.uint16).repeat(40).reshape(100, 120)
    path = write_tiff(indices)
    colors = {i: (i % 256, 255 - i % 256, i // 2, 255) for i in range(300)}
    with rasterio.open(
        path, 'w', driver='GTiff', width=120, height=100, count=1, dtype='uint16'
    ) as file:
        file.write(indices, 1)
        file.write_colormap(1, colors)
    found = both_ways(path).rgb
    assert found[50, 60].tolist() == list(colors[int(indices[50, 60])][:3])


@pytest.mark.parametrize('bits', [1, 8, 16])
def test_white_as_the_smallest_value_is_not_a_negative(picture, write_tiff, bits):
    grey = picture[..., 0]
    if bits == 1:
        grey = np.where(grey > 128, 255, 0).astype(np.uint8)
        stored, profile = (grey == 0).astype(np.uint8), dict(nbits=1)
    elif bits == 8:
        stored, profile = 255 - grey, {}
    else:
        stored, profile = 65535 - grey.astype(np.uint16) * 257, {}
    path = write_tiff(stored, photometric='MINISWHITE', **profile)
    options = dict(value_range=(0, 65535)) if bits == 16 else {}
    found = both_ways(path, **options)
    assert np.array_equal(found.rgb, np.dstack([grey] * 3))


def test_inks_are_converted_with_8_and_16_bits(picture, write_tiff, tmp_path):
    inks = np.array(Image.fromarray(picture).convert('CMYK'))
    inks[..., 3] = picture[..., 0] // 4
    # Each ink darkens its complement, black darkens all.
    share = 1 - inks.astype(np.float64) / 255
    expected = share[..., :3] * share[..., 3:] * 255
    Image.fromarray(inks, 'CMYK').save(tmp_path / 'a.tif')
    assert np.abs(both_ways(tmp_path / 'a.tif').rgb - expected).max() <= 1
    more = np.dstack([inks, inks[..., :1]]).astype(np.uint16) * 257
    found = both_ways(write_tiff(more, 'more.tif', photometric='CMYK'))
    assert np.abs(found.rgb - expected).max() <= 1
    assert 'taken as cyan, magenta, yellow and black' in found.notes[0]
    path = write_tiff(inks.astype(np.uint16) * 257, 'b.tif', photometric='CMYK')
    assert np.abs(both_ways(path).rgb - expected).max() <= 1
    Image.fromarray(inks, 'CMYK').save(tmp_path / 'c.jpg', quality=100, subsampling=0)
    assert np.abs(both_ways(tmp_path / 'c.jpg').rgb - expected).mean() < 2


def test_colours_that_cannot_be_shown_are_refused_by_name(
    picture, write_tiff, tmp_path
):
    lab = ImageCms.profileToProfile(
        Image.fromarray(picture),
        ImageCms.createProfile('sRGB'),
        ImageCms.createProfile('LAB'),
        outputMode='LAB',
    )
    lab.save(tmp_path / 'lab.tif')
    deep = write_tiff(picture.astype(np.uint16), 'deep.tif', photometric='CIELAB')
    for path in (tmp_path / 'lab.tif', deep):
        for opened in (path, path.read_bytes()):
            with pytest.raises(ValueError, match='CIELAB'):
                read_picture(opened, name=path.name)
        with pytest.raises(ValueError, match='CIELAB'):
            Raster(path)
    raw = encode(Image.fromarray(picture[..., 0]), 'TIFF', tiffinfo={262: 32803})
    with pytest.raises(ValueError, match='raw camera picture'):
        read_picture(raw)


@pytest.mark.parametrize('dtype', ['complex64', 'complex128', 'complex_int16'])
def test_complex_numbers_are_refused(picture, tmp_path, dtype):
    path = tmp_path / 'radar.tif'
    shape = dict(height=90, width=120, count=1, dtype=dtype)
    with rasterio.open(path, 'w', driver='GTiff', **shape) as file:
        file.write(picture[..., 0].astype(np.complex64), 1)
    for read in (read_picture, Raster):
        with pytest.raises(ValueError, match=r'radar\.tif has complex numbers'):
            read(path)


def test_an_animation_is_not_called_damaged(picture, tmp_path):
    path = tmp_path / 'a.webp'
    frames = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    for read in (read_picture, Raster):
        with pytest.raises(ValueError, match=r'a\.webp is an animation'):
            read(path)


@pytest.mark.parametrize('dtype', ['uint16', 'int16', 'uint32', 'int32', 'float32'])
def test_any_depth_by_a_fixed_range(picture, write_tiff, dtype):
    low = 0 if dtype.startswith('u') else -5000
    high = low + 25_500
    stored = (picture.astype(np.float64) * 100 + low).astype(dtype)
    found = both_ways(write_tiff(stored), value_range=(low, high))
    assert np.array_equal(found.rgb, picture)
    assert found.depth == dtype
    assert found.value_range == (stored.min(), stored.max())


@pytest.mark.parametrize('bits', [2, 4, 7])
def test_few_bits_fill_the_range(picture, write_tiff, bits):
    stored = picture >> (8 - bits)
    found = both_ways(write_tiff(stored, nbits=bits))
    expected = np.rint(stored * (255 / (2**bits - 1)))
    assert np.array_equal(found.rgb, expected)


def test_twelve_bits_are_stretched(picture, write_tiff):
    stored = picture.astype(np.uint16) * 16
    found = both_ways(write_tiff(stored, nbits=12))
    assert found.depth == 'uint16 (12 bits)'
    assert found.rgb.max() == 255 and found.rgb.min() == 0


@pytest.mark.parametrize(
    'compress', ['deflate', 'lzw', 'zstd', 'lzma', 'webp', 'lerc', 'jpeg', 'packbits']
)
def test_compressions(picture, write_tiff, compress):
    options = dict(webp_lossless=True) if compress == 'webp' else {}
    path = write_tiff(picture, compress=compress, **options)
    difference = np.abs(both_ways(path).rgb.astype(int) - picture)
    assert difference.mean() < (6 if compress == 'jpeg' else 1e-9)


def test_tiny_tiles_and_five_bands(picture, write_tiff):
    pixels = np.dstack([picture, picture[..., :2]])
    path = write_tiff(pixels, tiled=True, blockxsize=16, blockysize=16)
    found = both_ways(path)
    assert np.array_equal(found.rgb, picture) and found.count == 5
    assert 'of 5 bands' in found.notes[0]
    chosen = both_ways(path, bands=(5, 2, 1))
    assert np.array_equal(chosen.rgb, pixels[..., [4, 1, 0]])


def test_a_fill_value_that_is_not_declared_is_pointed_out(picture, write_tiff):
    stored = (picture / 255).astype(np.float32)
    stored[:, :10] = -9999
    path = write_tiff(stored)
    assert '--nodata -9999' in read_picture(path).notes[0]
    found = read_picture(path, nodata=-9999)
    assert not any('--nodata' in note for note in found.notes)
    assert np.array_equal(found.valid, stored[..., 0] != -9999)
    assert found.rgb[:, 10:].std() > 40
    # A dark border that is part of the picture is no reason to speak.
    (note,) = read_picture(write_tiff(picture.astype(np.uint16))).notes
    assert 'uint16 stretched' in note


@pytest.mark.parametrize('tag', range(1, 9))
@pytest.mark.parametrize('form', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
def test_orientation_is_applied_only_if_asked_for(picture, tmp_path, tag, form):
    exif = Image.Exif()
    exif[274] = tag
    options = dict(lossless=True) if form == 'WEBP' else {}
    path = tmp_path / f'a.{form.lower()}'
    Image.fromarray(picture).save(path, form, exif=exif, **options)
    stored = read_picture(path).rgb
    assert stored.shape == picture.shape
    shown = read_picture(path, orientation='applied')
    assert shown.orientation == tag
    assert np.array_equal(shown.rgb, turn(stored, tag))
    # OpenCV turns by the tag itself.
    if form in ('JPEG', 'PNG'):
        by_opencv = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.array_equal(shown.rgb, by_opencv)


def test_bytes_after_the_end_of_a_jpeg_are_not_a_missing_end(picture):
    data = encode(Image.fromarray(picture), 'JPEG')
    trailer = b'\0' * 16 + b'\xff\xda' + bytes(range(200))
    found = read_picture(data + trailer)
    assert np.array_equal(found.rgb, read_picture(data).rgb)
    for cut in (data[: len(data) // 2], data[: len(data) // 2] + trailer, data[:-2]):
        with pytest.raises(ValueError, match='cut off'):
            read_picture(cut, name='b.jpg')


def test_a_thumbnail_has_no_say_about_the_end(picture):
    thumbnail = encode(Image.fromarray(picture[:16, :16]), 'JPEG')
    segment = b'\xff\xe1' + struct.pack('>H', len(thumbnail) + 8) + b'Exif\0\0'
    data = encode(Image.fromarray(picture), 'JPEG')
    data = data[:2] + segment + thumbnail + data[2:]
    assert np.array_equal(read_picture(data).rgb, read_picture(data[:]).rgb)
    with pytest.raises(ValueError, match='cut off'):
        read_picture(data[: len(data) - 300])


def test_pages_of_a_tiff(picture, tmp_path):
    path = tmp_path / 'two.tif'
    pages = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    first = both_ways(path)
    assert np.array_equal(first.rgb, picture) and 'of 2 pages' in first.notes[0]
    second = both_ways(path, subdataset=2)
    assert np.array_equal(second.rgb, 255 - picture) and not second.notes
    with pytest.raises(ValueError, match='no subdataset 3'):
        read_picture(path, subdataset=3)


def test_files_of_others_cannot_name_files(picture, tmp_path, write_tiff):
    secret = write_tiff(picture, 'secret.tif')
    with rasterio.open(secret) as file:
        vrt = tmp_path / 'a.tif'
        copy(file, vrt, driver='VRT')
    with pytest.raises(ValueError, match='not a picture'):
        read_picture(vrt)
    with Raster(vrt) as raster:  # for those who name it themselves
        assert np.array_equal(raster.read(0, 0, 90, 120, FILL)[0], picture)
    # A mask beside the file isn't looked at either.
    path = write_tiff(picture, 'b.tif')
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        with rasterio.open(path, 'r+') as file:
            file.write_mask(np.zeros(picture.shape[:2], bool))
    assert path.with_name('b.tif.msk').exists()
    assert read_picture(path).valid is None


def test_large_pictures_are_refused_before_they_are_decoded(picture, write_tiff):
    path = write_tiff(picture)
    for source in (path, encode(Image.fromarray(picture), 'PNG')):
        with pytest.raises(ValueError, match='max_pixels = 10799'):
            read_picture(source, max_pixels=90 * 120 - 1)
        assert read_picture(source, max_pixels=90 * 120).rgb.shape == (90, 120, 3)
    rows = zlib.compress(bytes(60_001 * 100))  # cut off: it would be noticed
    header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 0, 0, 0, 0)

    def chunk(kind, data):
        check = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + check

    bomb = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows)
    with pytest.raises(ValueError, match='max_pixels'):
        read_picture(bomb)


def test_two_thousand_bands_open_at_once(write_tiff):
    path = write_tiff(np.zeros((20, 20, 2000), np.uint8), interleave='band')
    begin = time.monotonic()
    with Raster(path) as raster:
        assert raster.count == 2000
    assert time.monotonic() - begin < 1


def test_bad_files_are_named(tmp_path, picture, write_tiff):
    with pytest.raises(FileNotFoundError, match='nowhere.png'):
        read_picture(tmp_path / 'nowhere.png')
    for name, data, word in (
        ('empty.png', b'', 'empty'),
        ('text.png', b'no picture', 'not a picture'),
        ('head.tif', b'II*\0', 'head.tif'),
        ('cut.tif', write_tiff(picture).read_bytes()[:9000], 'cut.tif'),
        ('cut.png', encode(Image.fromarray(picture), 'PNG')[:5000], 'cut.png'),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ValueError, match=word) as error:
            read_picture(path)
        assert 'vsimem' not in str(error.value)
        assert str(error.value).count(name) == 1


def test_a_tag_that_makes_no_sense_does_not_cost_the_picture(picture, write_tiff):
    """GDAL leaves it out with an error, once."""
    path = write_tiff(picture, photometric='RGB', interleave='pixel')
    data = bytearray(path.read_bytes())
    first = struct.unpack_from('<I', data, 4)[0] + 2
    (place,) = (
        place
        for place in range(first, first + 12 * 12, 12)
        if struct.unpack_from('<H', data, place) == (284,)  # the layout of the planes
    )
    struct.pack_into('<HHII', data, place, 3100, 24322, 155, 1)
    path.write_bytes(data)
    assert np.array_equal(both_ways(str(path)).rgb, picture)
