# SPDX-License-Identifier: Apache-2.0
"""A model, a picture that isn't square, and the page as the command serves it."""

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from matplotlib.path import Path as Ring


@pytest.fixture(scope='session')
def demo_rgb(tiny_data):
    """RGB (60, 72, 3)."""
    path = sorted((tiny_data / 'images/synthrs/JPEGImages').glob('*test*'))[0]
    return np.ascontiguousarray(cv2.imread(str(path))[6:66, :, ::-1])


@pytest.fixture(scope='session')
def demo_models(tiny_config, tiny_checkpoint):
    """The model as the page has it."""
    from mmcadformer.demo.models import load_models

    return load_models([(tiny_config, tiny_checkpoint)], 'cpu')


@pytest.fixture(scope='session')
def write_geotiff():
    """Writes bands (N, H, W) with coordinates; skips without the geo extra."""
    rasterio = pytest.importorskip('rasterio', reason='needs the geo extra')
    for name in ('shapely', 'pyogrio', 'pyproj'):
        pytest.importorskip(name, reason='needs the geo extra')

    def write(path, bands, **profile):
        place = dict(
            crs='EPSG:32614',
            transform=rasterio.transform.from_origin(601_000, 3_912_000, 0.5, 0.5),
        )
        count, height, width = bands.shape
        with rasterio.open(
            path,
            'w',
            driver='GTiff',
            count=count,
            height=height,
            width=width,
            dtype=bands.dtype,
            **{**place, **profile},
        ) as file:
            file.write(bands)
        return path

    return write


@pytest.fixture(scope='session')
def fill():
    """From rings (x, y) to the pixels whose centres lie in an odd number of them."""

    def fill_rings(rings, shape):
        rows, columns = np.indices(shape)
        centres = np.column_stack([columns.ravel(), rows.ravel()]) + 0.5
        inside = np.zeros(len(centres), bool)
        for ring in rings:
            assert ring[0] == ring[-1]
            inside ^= Ring(ring).contains_points(centres)
        return inside.reshape(shape)

    return fill_rings


@pytest.fixture(scope='session')
def serve():
    """Starts the command in a folder; gives its process and the page's address."""

    @contextmanager
    def start(folder, *args, **environment):
        command = [sys.executable, '-m', 'mmcadformer.demo', *map(str, args)]
        process = subprocess.Popen(
            [*command, '--device', 'cpu', '--port', '0'],
            cwd=folder,
            env={**os.environ, **environment, 'TMPDIR': str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if found := re.match(r'The page is at (\S+)', line):
                    break
            else:
                pytest.fail(''.join(said))
            # Nobody reads what it says: it must not wait for a reader.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield process, found.group(1)
        finally:
            process.terminate()
            code = process.wait(30)
        assert code == 0
        assert list(folder.iterdir()) == []  # it leaves no files behind

    return start
