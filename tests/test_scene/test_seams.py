# SPDX-License-Identifier: Apache-2.0
"""With a network that sees single pixels, cutting must change nothing at all."""

import filecmp

import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

from mmcadformer.scene import Tiling

RESULTS = (
    'scene_01_mask.tif',
    'scene_01_probability.tif',
    'scene_02_mask.tif',
    'scene_02_probability.tif',
    'scene.geojson',
    'scene.gpkg',
)


@pytest.mark.parametrize(
    'sizes, overlap',
    [((64,), 0.25), ((64,), 0.0), ((50,), 0.6), ((48, 112), 0.3), ((400,), 0.25)],
)
def test_tiled_and_whole_results_are_the_same_files(
    make_scene, blobs, utm, segment, network, tmp_path, sizes, overlap
):
    # Taller than a strip of rows, and no multiple of anything.
    path = make_scene(blobs(531, 143), **utm)
    words = ['red', 'blue']
    segment(path, words, out='whole', tiling=Tiling((600,)))
    assert network.calls == 1
    segment(path, words, out='tiled', tiling=Tiling(sizes, overlap))
    same, different, missing = filecmp.cmpfiles(
        tmp_path / 'whole', tmp_path / 'tiled', RESULTS, shallow=False
    )
    assert sorted(same) == sorted(RESULTS), (different, missing)


def test_expressions_in_one_pass_give_what_each_gives_alone(
    make_scene, blobs, utm, segment, read, tmp_path
):
    path = make_scene(blobs(90, 110), **utm)
    words = ['green', 'red', 'green', 'blue', 'red']
    together = segment(path, words, out='together')
    for number, word in enumerate(words, start=1):
        alone = segment(path, word, out=f'alone{number}')
        for kind in ('mask', 'probability'):
            assert np.array_equal(
                read(tmp_path / f'together/scene_{number:02d}_{kind}.tif'),
                read(tmp_path / f'alone{number}/scene_01_{kind}.tif'),
            )
        record = dict(alone.summary['expressions'][0])
        other = dict(together.summary['expressions'][number - 1])
        for key in ('mask', 'probability'):
            del record[key], other[key]
        assert record == other
