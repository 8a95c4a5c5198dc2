# SPDX-License-Identifier: Apache-2.0
"""Scenes on disk, and a network whose answer depends on a pixel's colour only."""

import warnings
from pathlib import Path

import numpy as np
import pytest

try:
    import rasterio
    from affine import Affine
    from rasterio.errors import NotGeoreferencedWarning

    from mmcadformer.scene import SceneSegmentor, Tiling
except ModuleNotFoundError:  # the test modules skip, with the reason
    pass


class ColorNetwork:
    """Stands for the network alone: the word names the channel that stands out."""

    fill = (0, 0, 0)

    def __init__(self, pairs=4):
        self.pairs = pairs
        self.calls = 0

    def __call__(self, tiles, expressions):
        self.calls += 1
        pixels = np.stack(tiles).astype(np.float32)
        return np.stack([self.answer(pixels, word) for word in expressions], axis=1)

    @staticmethod
    def answer(pixels, word):
        """Probability by colour, for any leading shape."""
        channel = ('red', 'green', 'blue').index(word)
        others = np.delete(pixels, channel, axis=-1).max(axis=-1)
        return 1 / (1 + np.exp((others - pixels[..., channel]) / 25))

    def fingerprint(self):
        return 'by colour'


@pytest.fixture(autouse=True)
def one_moment(monkeypatch):
    """Runs note when they began, and are compared to the byte."""
    monkeypatch.setenv('SOURCE_DATE_EPOCH', '1760000000')


@pytest.fixture
def network():
    return ColorNetwork()


@pytest.fixture
def make_scene(tmp_path):
    """Writes an array (H, W, bands) as a raster and gives its path."""

    def make(array, name='scene.tif', colors=None, **profile):
        if array.ndim == 2:
            array = array[..., None]
        height, width, count = array.shape
        profile = dict(dtype=array.dtype, driver='GTiff') | profile
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(
                path, 'w', height=height, width=width, count=count, **profile
            ) as file:
                if colors:
                    file.colorinterp = colors
                file.write(array.transpose(2, 0, 1))
        return path

    return make


@pytest.fixture
def utm():
    """Place of a scene: half a metre per pixel in UTM zone 33 north."""
    return dict(crs='EPSG:32633', transform=Affine(0.5, 0, 400000, 0, -0.5, 5500000))


@pytest.fixture
def segment(network, tmp_path):
    """Runs a scene and gives the result."""

    def run(scene, words='red', out='out', tiling=None, presence=None, **options):
        segmentor = SceneSegmentor(network, tiling or Tiling((64,)), presence)
        return segmentor(scene, words, tmp_path / out, progress=False, **options)

    return run


@pytest.fixture
def read():
    """Reads one band of a file."""

    def read_band(file):
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(Path(file)) as raster:
                return raster.read(1)

    return read_band


def noise(height, width, seed=0):
    """Saturated colours in blobs of a few pixels, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 7), -(-width // 7), 3), dtype=np.uint8)
    return coarse.repeat(7, axis=0).repeat(7, axis=1)[:height, :width].copy()


@pytest.fixture
def blobs():
    return noise
