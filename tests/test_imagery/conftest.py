# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
import rasterio


@pytest.fixture(scope='session')
def picture():
    """RGB uint8 (90, 120, 3) with all values."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture
def write_tiff(tmp_path):
    """Writes (H, W) or (H, W, bands) as a GeoTIFF and gives its path."""

    def write(pixels, name='a.tif', **profile):
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        height, width, count = pixels.shape
        path = tmp_path / name
        shape = dict(height=height, width=width, count=count, dtype=pixels.dtype)
        with rasterio.open(path, 'w', driver='GTiff', **shape, **profile) as file:
            file.write(pixels.transpose(2, 0, 1))
        return path

    return write
