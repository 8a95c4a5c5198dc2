# SPDX-License-Identifier: Apache-2.0
"""Masks in files of every kind: the target, or one line that says what to state."""

import json

import cv2
import numpy as np
import pytest
import rasterio
from mmseg.registry import DATASETS
from PIL import Image

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets import ReferringJsonDataset
from mmcadformer.datasets.inspection.checking import check_dataset

SIZE = 48, 64
TRUTH = np.zeros(SIZE, np.uint8)
TRUTH[5:20, 5:30] = 1
PIPELINE = [
    dict(type='mmseg.WholeLoadImageFromFile'),
    dict(type='mmseg.ChooseExpression', mode='first'),
    dict(type='mmseg.LoadReferringMask'),
    dict(type='mmseg.PackReferringInputs'),
]


class Data:
    """A data set of one object, whose mask a test writes."""

    def __init__(self, root):
        self.root = root
        cv2.imwrite(str(root / '0.png'), np.full((*SIZE, 3), 90, np.uint8))

    def write(self, mask, **keys):
        line = dict(image='0.png', expression='the pond', split='test', id=7, mask=mask)
        text = json.dumps(dict(line, **keys))
        (self.root / 'annotations.jsonl').write_text(text + '\n')

    def build(self, **keys):
        cfg = dict(type='ReferringJsonDataset', data_root=str(self.root), split='test')
        return DATASETS.build(dict(cfg, test_mode=True, pipeline=PIPELINE, **keys))

    def labels(self, **keys):
        (sample,) = [data['data_samples'] for data in self.build(**keys)]
        return sample.gt_sem_seg.data[0].numpy()

    def findings(self, **keys):
        report = check_dataset(self.build(lazy_init=True, **keys), progress=False)
        return [(finding.kind, str(finding)) for finding in report.findings]


@pytest.fixture
def data(tmp_path):
    return Data(tmp_path)


def indexed(path, labels, palette):
    image = Image.fromarray(labels, 'L').convert('P')
    image.putpalette(palette)
    image.putdata(labels.ravel().tolist())
    image.save(path)


def tiff(path, bands, **profile):
    profile = dict(
        driver='GTiff',
        height=SIZE[0],
        width=SIZE[1],
        count=len(bands),
        transform=rasterio.Affine(0.5, 0, 0, 0, -0.5, 0),
        dtype=bands[0].dtype.name,
        **profile,
    )
    with rasterio.open(path, 'w', **profile) as file:
        file.write(np.stack(bands))


def rgba(path, colors, alpha):
    Image.fromarray(np.dstack([colors] * 3 + [alpha])).save(path)


WHITE_FIRST = [255, 255, 255, 200, 0, 0]
TWO_VALUED = {
    'grey.png': lambda path: cv2.imwrite(path, 255 * TRUTH),
    'ones.png': lambda path: cv2.imwrite(path, TRUTH),
    'deep.png': lambda path: cv2.imwrite(path, TRUTH.astype(np.uint16)),
    'deep white.png': lambda path: cv2.imwrite(path, TRUTH.astype(np.uint16) * 65535),
    'bits.png': lambda path: Image.fromarray(TRUTH > 0).save(path),
    'grey.bmp': lambda path: cv2.imwrite(path, 255 * TRUTH),
    'red.png': lambda path: cv2.imwrite(
        path, np.dstack([0 * TRUTH] * 2 + [255 * TRUTH])
    ),
    'white first.png': lambda path: indexed(path, TRUTH, WHITE_FIRST),
    'indexed.tif': lambda path: indexed(path, TRUTH, WHITE_FIRST),
    'indexed.gif': lambda path: indexed(path, TRUTH, WHITE_FIRST),
    'rgb.tif': lambda path: tiff(path, [255 * TRUTH] * 3),
    'int32.tif': lambda path: tiff(path, [TRUTH.astype(np.int32)]),
    'int64.tif': lambda path: tiff(path, [TRUTH.astype(np.int64)]),
    'float.tif': lambda path: tiff(path, [TRUTH.astype(np.float32)]),
    'lerc.tif': lambda path: tiff(path, [TRUTH], compress='zstd'),
    'one bit.tif': lambda path: tiff(path, [TRUTH], nbits=1),
    'four bits.tif': lambda path: tiff(path, [15 * TRUTH], nbits=4),
    'twelve bits.tif': lambda path: tiff(
        path, [TRUTH.astype(np.uint16) * 4095], nbits=12
    ),
    'white is 0, two bits.tif': lambda path: tiff(
        path, [3 - 3 * TRUTH], nbits=2, photometric='MINISWHITE'
    ),
    'white is 0.tif': lambda path: Image.fromarray(255 * TRUTH).save(
        path, tiffinfo={262: 0}
    ),
    'opaque.png': lambda path: rgba(path, 255 * TRUTH, np.full_like(TRUTH, 255)),
}


@pytest.mark.parametrize('name', TWO_VALUED)
def test_masks_of_two_values(data, name):
    TWO_VALUED[name](str(data.root / name))
    data.write(name)
    np.testing.assert_array_equal(data.labels(), TRUTH)
    assert not data.findings()


def _jpeg(path):
    cv2.imwrite(path, 255 * TRUTH, [cv2.IMWRITE_JPEG_QUALITY, 75])


def _colors(path):
    colors = np.zeros((*SIZE, 3), np.uint8)
    colors[TRUTH > 0], colors[30:] = (0, 0, 255), (0, 255, 0)
    cv2.imwrite(path, colors)


CLASSES = np.where(np.arange(SIZE[0])[:, None] >= 30, np.uint8(4), 3 * TRUTH)
OPACITY = np.where(TRUTH, np.uint8(255), np.uint8(0))
# What is refused, the message, keys that make it clear, and whether the mask is exact.
UNCLEAR = {
    'blurred.jpg': (_jpeg, 'JPEG.*mask_threshold', dict(mask_threshold=127), False),
    'classes.png': (
        lambda path: cv2.imwrite(path, CLASSES),
        'values 0, 3, 4, not.*mask_values',
        dict(mask_values=[3]),
        True,
    ),
    'palette.png': (
        lambda path: indexed(path, CLASSES, [0, 0, 0, *WHITE_FIRST, *WHITE_FIRST]),
        'values 0, 3, 4, not.*mask_values',
        dict(mask_values=[3]),
        True,
    ),
    'half.png': (
        lambda path: cv2.imwrite(path, 128 * TRUTH),
        'values 0, 128, not.*mask_threshold',
        dict(mask_threshold=0.5),
        True,
    ),
    'probability.tif': (
        lambda path: tiff(path, [(0.25 + 0.5 * TRUTH).astype(np.float32)]),
        r'values 0\.25, 0\.75',
        dict(mask_threshold=0.5),
        True,
    ),
    'colours.png': (_colors, 'has 3 colours', None, True),
    'black shape.png': (
        lambda path: rgba(path, 0 * TRUTH, OPACITY),
        'mask_channel',
        dict(mask_channel='alpha'),
        True,
    ),
    'clear.png': (
        lambda path: rgba(path, 255 * TRUTH, 255 - OPACITY),
        'mask_channel',
        dict(mask_channel='color'),
        True,
    ),
    'clear.tif': (
        lambda path: rgba(path, 0 * TRUTH, OPACITY),
        'mask_channel',
        dict(mask_channel='alpha'),
        True,
    ),
    'all clear.png': (
        lambda path: rgba(path, 255 * TRUTH, 0 * TRUTH),
        'mask_channel',
        dict(mask_channel='color'),
        True,
    ),
    'nan.tif': (
        lambda path: tiff(path, [np.where(TRUTH, 1, np.nan).astype(np.float32)]),
        'holds NaN',
        None,
        True,
    ),
    'complex.tif': (
        lambda path: tiff(path, [TRUTH.astype(np.complex64)]),
        'complex numbers',
        None,
        True,
    ),
    'pages.tif': (
        lambda path: Image.fromarray(255 * TRUTH).save(
            path, save_all=True, append_images=[Image.fromarray(TRUTH)]
        ),
        'has 2 pages',
        None,
        True,
    ),
    'empty.tif': (lambda path: tiff(path, [0 * TRUTH]), 'marks no pixel', None, True),
    'bands.tif': (lambda path: tiff(path, [TRUTH] * 5), '5 bands', None, True),
}


@pytest.mark.parametrize('name', UNCLEAR)
def test_unclear_masks_are_refused_until_the_data_set_says_more(data, name):
    write, message, keys, exact = UNCLEAR[name]
    write(str(data.root / name))
    data.write(name)
    with pytest.raises(ValueError, match=message):
        data.labels()
    ((kind, text),) = data.findings()
    assert kind == 'mask' and str(data.root / name) in text
    if keys:
        wrong = np.count_nonzero(data.labels(**keys) != TRUTH)
        assert wrong == 0 if exact else wrong < 10
        assert not data.findings(**keys)


def test_pixels_to_be_ignored_have_a_label_of_their_own(data):
    labels = TRUTH.copy()
    labels[:3] = 255
    cv2.imwrite(str(data.root / 'm.png'), labels)
    data.write('m.png')
    with pytest.raises(ValueError, match='values 0, 1, 255.*ignore_value=255'):
        data.labels()
    np.testing.assert_array_equal(data.labels(ignore_value=255), labels)
    cv2.imwrite(str(data.root / 'm.png'), np.where(labels == 255, 128, 255 * TRUTH))
    np.testing.assert_array_equal(data.labels(ignore_value=128), labels)
    keys = dict(ignore_value=128, mask_values=[255])
    np.testing.assert_array_equal(data.labels(**keys), labels)
    assert not data.findings(**keys)


def test_a_threshold_says_nothing_of_nan(data):
    pixels = np.where(TRUTH, 1, np.nan).astype(np.float32)
    tiff(data.root / 'm.tif', [pixels])
    data.write('m.tif')
    with pytest.raises(ValueError, match=r'm\.tif holds NaN'):
        data.labels(mask_threshold=0.5)


def test_only_ignored_pixels_are_an_empty_mask(data):
    cv2.imwrite(str(data.root / 'm.png'), 255 * TRUTH)
    data.write('m.png')
    with pytest.raises(ValueError, match='marks no pixel'):
        data.labels(ignore_value=255)


def test_options_that_contradict_each_other(data):
    for keys, message in [
        (dict(mask_values=[1], mask_threshold=50), 'not both'),
        (dict(mask_values=[1, 255], ignore_value=255), 'is one of the mask_values'),
        (dict(mask_values='1'), 'must be a list'),
        (dict(mask_channel='red'), 'mask_channel must be'),
        (dict(mask_threshold=-1), 'must not be negative'),
    ]:
        with pytest.raises(ValueError, match=message):
            ReferringJsonDataset(str(data.root), lazy_init=True, **keys)


def test_check_reports_masks_that_are_probably_inverted(data):
    cv2.imwrite(str(data.root / 'm.png'), 255 * (1 - TRUTH))
    data.write('m.png')
    ((kind, text),) = data.findings()
    assert kind == 'inverted' and '88 % of the image is target' in text


def test_other_sizes_are_named(data):
    cv2.imwrite(str(data.root / 'm.png'), 255 * TRUTH[:-8])
    data.write('m.png')
    message = r'm\.png is 40 x 64 px \(height x width\), its image 48 x 64'
    with pytest.raises(ValueError, match=message):
        data.labels()


def test_sizes_that_are_written_as_decimals(data):
    cv2.imwrite(str(data.root / 'm.png'), 255 * TRUTH)
    data.write('m.png', height=48.0, width=64.0)
    info = data.build().get_data_info(0)
    assert (info['height'], info['width']) == SIZE
    assert isinstance(info['height'], int)
    np.testing.assert_array_equal(data.labels(), TRUTH)
    data.write('m.png', height=48.5, width=64)
    with pytest.raises(ValueError, match=r'positive whole numbers, got \(48\.5, 64\)'):
        data.build()


@pytest.mark.parametrize('part', [[], [3], [3, 3], [3, 3, 9, 9], [3, 3, 9, 9, 7]])
def test_degenerate_parts_beside_good_ones_are_left_out(data, part):
    polygon = [5, 5, 30, 5, 30, 20, 5, 20]
    data.write([part, polygon])
    np.testing.assert_array_equal(data.labels(), TRUTH)
    ((kind, text),) = data.findings()
    assert kind == 'degenerate' and '1 part of fewer than three points' in text
    with pytest.raises(ValueError, match='at least three'):
        data.build(strict_polygons=True)
    ((kind, _),) = data.findings(strict_polygons=True)
    assert kind == 'mask'
    data.write([part])
    assert [kind for kind, _ in data.findings()] == ['mask']
    data.write([polygon[:7], polygon])  # an odd number of coordinates is damage
    assert [kind for kind, _ in data.findings()] == ['mask']


def test_damaged_files_are_named(data):
    (data.root / 'empty.png').touch()
    good = cv2.imencode('.png', 255 * TRUTH)[1].tobytes()
    (data.root / 'cut.png').write_bytes(good[:60])
    (data.root / 'damaged.tif').write_bytes(b'II*\0aaaa')
    for name, reason in [
        ('empty', 'empty'),
        ('cut', 'cut off'),
        ('damaged', 'not a mask'),
    ]:
        (path,) = data.root.glob(f'{name}.*')
        data.write(path.name)
        ((kind, text),) = data.findings()
        assert kind == 'mask' and f'{path} is {reason}' in text
