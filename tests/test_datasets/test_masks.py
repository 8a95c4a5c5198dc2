# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from mmcadformer.datasets import check_segmentation, decode_segmentation
from mmcadformer.datasets.masks import decode_rle, rle_counts


def _random_masks(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        height, width = rng.integers(1, 50, 2)
        yield (rng.random((height, width)) < rng.random()).astype(np.uint8)


def _runs(mask):
    """Run lengths by walking over the pixels."""
    runs, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def test_run_lengths_of_compressed_and_plain_counts():
    for mask in _random_masks(60):
        runs = _runs(mask)
        compressed = mask_utils.encode(np.asfortranarray(mask))['counts']
        assert rle_counts(compressed).tolist() == runs
        assert rle_counts(compressed.decode()).tolist() == runs
        assert rle_counts(runs).tolist() == runs


def test_long_runs_take_several_characters():
    mask = np.zeros((2000, 2000), np.uint8)
    mask[3, 1500] = mask[-1, -1] = 1
    compressed = mask_utils.encode(np.asfortranarray(mask))['counts']
    assert rle_counts(compressed).tolist() == [3000003, 1, 999995, 1]


def test_every_form_decodes_to_the_mask():
    for mask in _random_masks(40):
        size = list(mask.shape)
        rle = mask_utils.encode(np.asfortranarray(mask))
        forms = [
            rle,
            [rle],
            dict(size=size, counts=rle['counts'].decode()),
            [dict(size=size, counts=_runs(mask))],
            [rle, dict(size=size, counts=_runs(mask))],
        ]
        for form in forms:
            decoded = decode_segmentation(form, *size)
            assert decoded.dtype == np.uint8
            np.testing.assert_array_equal(decoded, mask)


def test_segments_are_united_where_they_overlap():
    polygons = [[2, 2, 12, 2, 12, 9, 2, 9], [8.5, 5, 20, 4.5, 14, 17.25]]
    parts = mask_utils.decode(mask_utils.frPyObjects(polygons, 20, 25))
    assert (parts.sum(axis=2) > 1).any()
    np.testing.assert_array_equal(
        decode_segmentation(polygons, 20, 25), parts.max(axis=2)
    )
    rles = [mask_utils.encode(np.asfortranarray(parts[..., i])) for i in (0, 1)]
    np.testing.assert_array_equal(decode_segmentation(rles, 20, 25), parts.max(axis=2))


MASK = np.zeros((10, 12), np.uint8)
MASK[2:7, 3:9] = 1
GOOD = mask_utils.encode(np.asfortranarray(MASK))['counts'].decode()


@pytest.mark.parametrize(
    'segmentation, message',
    [
        ([], 'must be a list'),
        (None, 'must be a list'),
        ('abc', 'must be a list'),
        ([3.0], 'polygon or an RLE'),
        ([[1, 2, 3, 4]], 'at least three'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'at least three'),
        ([[1, 2, 3, 4, 5, 'x']], 'flat list of numbers'),
        ([[[1, 2], [3, 4], [5, 6], [1, 1], [2, 2], [3, 3]]], 'flat list of numbers'),
        ([[1, 2, 3, 4, 5, float('nan')]], 'not finite'),
        ([[50, 2, 60, 2, 60, 9]], 'no pixel'),
        (dict(counts=GOOD), "'size' and 'counts'"),
        (dict(size=[10, 12]), "'size' and 'counts'"),
        (dict(size=[12, 10], counts=GOOD), r'\[12, 10\].*\[10, 12\]'),
        (dict(size='ab', counts=GOOD), r'size'),
        (dict(size=[10, 12], counts=GOOD[:-2]), 'broken|cut off'),
        (dict(size=[10, 12], counts=GOOD + '9'), 'broken'),
        (dict(size=[10, 12], counts=GOOD + 'é'), 'never uses'),
        (dict(size=[10, 12], counts='!' + GOOD), 'never uses'),
        (dict(size=[10, 12], counts=''), 'cut off'),
        (dict(size=[10, 12], counts='o' * 40), 'cut off'),
        (dict(size=[10, 12], counts='o' * 40 + '0'), 'beyond 55 bits'),
        (dict(size=[10, 12], counts=[60, 60, 60]), '180 pixels of 120'),
        (dict(size=[10, 12], counts=[130, -10]), 'broken'),
        (dict(size=[10, 12], counts=[119.5, 0.5]), 'whole numbers'),
        (dict(size=[10, 12], counts=[[120]]), 'flat list'),
        (dict(size=[10, 12], counts=['x']), 'must be numbers'),
        (dict(size=[10, 12], counts=7), 'string or a list'),
        (dict(size=[10, 12], counts=[120]), 'no pixel'),
    ],
)
def test_damage_is_explained(segmentation, message):
    with pytest.raises(ValueError, match=message):
        check_segmentation(segmentation, 10, 12)


def test_damaged_counts_are_never_decoded():
    """Every single-character change either fails or gives a full mask."""
    refused = 0
    for position in range(len(GOOD)):
        for code in range(48, 112):
            counts = GOOD[:position] + chr(code) + GOOD[position + 1 :]
            try:
                mask = decode_segmentation(dict(size=[10, 12], counts=counts), 10, 12)
            except ValueError:
                refused += 1
            else:
                assert mask.shape == (10, 12)
                assert mask.sum() == rle_counts(counts)[1::2].sum()
    assert refused > 0.9 * 64 * len(GOOD)


@pytest.mark.parametrize(
    'rle',
    [
        dict(size=[10**6, 10**6], counts=[10**12]),
        dict(size=[10**6, 10**6], counts=[0, 10**12]),
        dict(size=[20_000, 20_000], counts='0P'),
    ],
)
def test_masks_beyond_any_picture_are_refused_before_they_are_decoded(rle):
    for use in (decode_rle, lambda rle: check_segmentation([rle], *rle['size'])):
        with pytest.raises(ValueError, match='more than max_pixels'):
            use(rle)


@pytest.mark.parametrize(
    'rle',
    [
        None,
        [],
        'x',
        {},
        dict(size=3),
        dict(size=[2, 'x'], counts=''),
        dict(size=[2, 2], counts=[5]),
        dict(size=[2, 2], counts='\xff'),
    ],
)
def test_other_things_are_no_mask(rle):
    with pytest.raises(ValueError, match='RLE'):
        decode_rle(rle)
