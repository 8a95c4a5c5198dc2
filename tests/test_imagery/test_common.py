# SPDX-License-Identifier: Apache-2.0
"""One stretch for pictures that differ in size, light and data."""

import numpy as np
import pytest
import rasterio

from mmcadformer.imagery import Reading, common, common_value_range

pytestmark = pytest.mark.filterwarnings(
    'ignore::rasterio.errors.NotGeoreferencedWarning'
)


@pytest.fixture
def save(tmp_path):
    def write(name, array, **profile):
        path = tmp_path / name
        bands = array[None] if array.ndim == 2 else array
        with rasterio.open(
            path, 'w', driver='GTiff', dtype=array.dtype, count=len(bands),
            height=bands.shape[1], width=bands.shape[2], **profile,
        ) as file:  # fmt: skip
            file.write(bands)
        return path

    return write


def gray(low, high, shape=(100, 120), seed=0):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint16)


def test_pictures_count_by_their_pixels(save):
    """Also where one is far larger, or has little data."""
    small, large = gray(0, 1000, (50, 50)), gray(5000, 9000, (2000, 1500))
    sparse = np.zeros((400, 300), np.uint16)
    sparse[:30, :30] = gray(20000, 21000, (30, 30))
    paths = [
        save('small.tif', small), save('large.tif', large),
        save('sparse.tif', sparse, nodata=0),
    ]  # fmt: skip
    everything = np.concatenate(
        [small.ravel(), large.ravel(), sparse[sparse > 0].ravel()]
    )
    expected = np.percentile(everything, (2, 98))
    assert common_value_range(paths) == pytest.approx(expected, rel=0.01)
    found = common_value_range(paths, Reading(percentiles=(0.02, 99.99)))
    assert found[0] < 500 and found[1] > 15000  # the small ones take part
    assert common_value_range(paths[:1]) == pytest.approx(np.percentile(small, (2, 98)))


def test_each_band_has_its_own_range(save):
    bands = np.stack([gray(0, 100), gray(1000, 2000), gray(7, 8)])
    found = common_value_range([save('a.tif', bands), save('b.tif', bands)])
    assert found == pytest.approx(
        [*np.percentile(bands[0], (2, 98)), *np.percentile(bands[1], (2, 98)), 7, 8]
    )


def test_pictures_of_8_bits_need_none(save):
    paths = [save(f'{n}.tif', gray(0, 99).astype(np.uint8)) for n in 'ab']
    assert common_value_range(paths) is None
    empty = save('empty.tif', np.zeros((9, 9), np.uint16), nodata=0)
    assert common_value_range([empty]) is None


def test_pictures_of_different_kinds_are_named(save):
    paths = [save('a.tif', gray(0, 99)), save('b.tif', gray(0, 99).astype(np.uint8))]
    for skip_errors in (False, True):
        with pytest.raises(
            ValueError,
            match=r'a\.tif \(uint16, 1 band\) and .*b\.tif \(uint8, 1 band\)',
        ):
            common_value_range(paths, skip_errors=skip_errors)
    with pytest.raises(ValueError, match=r'1 band\) and .*3 bands'):
        common_value_range([paths[0], save('c.tif', np.stack([gray(0, 9)] * 3))])


def test_damaged_pictures_may_be_left_out(save, tmp_path):
    good = save('good.tif', gray(0, 1000))
    bad = tmp_path / 'bad.tif'
    bad.write_bytes(good.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r'bad\.tif is damaged'):
        common_value_range([good, bad])
    with pytest.raises(FileNotFoundError):
        common_value_range([good, tmp_path / 'gone.tif'])
    expected = common_value_range([good])
    assert common_value_range([good, bad, 'gone.tif'], skip_errors=True) == expected


def test_an_undeclared_fill_value_gets_a_hint(save, monkeypatch):
    said = []
    monkeypatch.setattr(common, 'warn', said.append)
    values = gray(0, 1000).astype(np.float32)
    values[:20] = -9999
    common_value_range([save('a.tif', values), save('b.tif', values)])
    assert said == [
        'in 2 pictures 20% of the values are -9999, far from all others: if they stand '
        'for missing pixels, give --nodata -9999'
    ]
