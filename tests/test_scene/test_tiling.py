# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

from mmcadformer.scene.tiling import (
    FULL,
    NO_DATA,
    StripBlender,
    Tile,
    Tiling,
    quantise,
    tile_weights,
)


@pytest.mark.parametrize('height, width', [(1, 1), (64, 64), (65, 200), (500, 130)])
@pytest.mark.parametrize('overlap', [0, 0.25, 0.9])
def test_tiles_cover_the_scene_for_every_size(height, width, overlap):
    tiling = Tiling((64, 48), overlap)
    batches = tiling.batches(height, width, tiles_per_batch=3)
    assert [batch.index for batch in batches] == list(range(len(batches)))
    for size in tiling.sizes:
        covered = np.zeros((height, width), int)
        for batch in batches:
            assert len({tile.size for tile in batch.tiles}) == 1
            assert len(batch.tiles) <= 3
            for tile in batch.tiles:
                if tile.size == size:
                    part = covered[tile.row :, tile.column :][:size, :size]
                    part += 1
                    # Only a scene smaller than a tile leaves part of it empty.
                    assert part.shape == (min(size, height), min(size, width))
        assert covered.min() >= 1
        if overlap == 0 and height % size == width % size == 0:
            assert covered.max() == 1


def test_tiles_come_from_top_to_bottom_and_only_where_wanted():
    batches = Tiling((32, 64)).batches(
        300, 300, 4, wanted=lambda tile: tile.column >= 100
    )
    tiles = [tile for batch in batches for tile in batch.tiles]
    assert tiles and all(tile.column >= 100 for tile in tiles)
    assert [b.start for b in batches] == sorted(b.start for b in batches)


def test_weights_fall_smoothly_to_the_border_and_sum_to_a_plateau():
    weights = tile_weights(64, 16)
    assert weights.dtype == np.uint32 and weights.min() >= 1
    assert np.array_equal(weights, weights.T) and np.array_equal(weights, weights[::-1])
    middle = weights[32].astype(int)
    assert (middle[16:48] == middle.max()).all() and (np.diff(middle[:16]) >= 0).all()
    assert middle[0] < middle.max() / 50
    # Neighbours share 16 pixels: rising and falling slope add up to the plateau.
    shared = middle[:16] + middle[-16:]
    assert np.abs(shared / middle.max() - 1).max() < 0.02
    assert len(np.unique(tile_weights(64, 0))) == 1


def test_blend_is_the_weighted_mean_whatever_the_order():
    rng = np.random.default_rng(0)
    tiles = [Tile(0, 0, 48), Tile(0, 30, 48), Tile(20, 30, 48), Tile(20, 0, 48)]
    answers = [quantise(rng.random((48, 48))) for _ in tiles]
    total, weight = np.zeros((68, 78)), np.zeros((68, 78))
    for tile, answer in zip(tiles, answers, strict=True):
        place = np.s_[tile.row : tile.row + 48, tile.column : tile.column + 48]
        total[place] += tile_weights(48, 18) * answer.astype(float)
        weight[place] += tile_weights(48, 18)
    expected = total / weight

    results = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        strips = []
        for start, stop in ((0, 25), (25, 68)):
            strip = StripBlender(start, stop, 78)
            for index in order:
                strip.add(tiles[index], answers[index], 18)
            strips.append(strip.result(np.ones((stop - start, 78), bool)))
        results.append(np.concatenate(strips))
    assert np.array_equal(*results)
    assert np.abs(results[0] - expected).max() <= 0.5 + 1e-6


def test_blend_of_equal_answers_is_that_answer_and_nothing_stays_zero():
    strip = StripBlender(0, 40, 64)
    for tile in (Tile(0, 0, 32), Tile(0, 11, 32), Tile(5, 3, 32)):
        strip.add(tile, np.full((32, 32), 12345, np.uint16), 9)
    valid = np.ones((40, 64), bool)
    valid[3] = False
    result = strip.result(valid)
    assert (result[3] == NO_DATA).all()
    assert set(np.unique(result[valid])) == {0, 12345}
    assert (result[10:30, 43:] == 0).all() and (result[:3, :32] == 12345).all()


def test_quantise_keeps_ends_and_refuses_nan():
    assert quantise(np.array([-0.1, 0, 0.5, 1, 1.1])).tolist() == [
        0, 0, FULL // 2, FULL, FULL,
    ]  # fmt: skip
    with pytest.raises(ValueError, match='NaN'):
        quantise(np.array([0.2, np.nan]))


@pytest.mark.parametrize(
    'sizes, overlap, word',
    [
        ((), 0.1, 'size'),
        ((8,), 0.1, '8'),
        ((64, 64), 0.1, 'twice'),
        ((64,), 1.0, 'overlap'),
        ((64,), -0.1, 'overlap'),
    ],
)
def test_tiling_refuses_what_makes_no_sense(sizes, overlap, word):
    with pytest.raises(ValueError, match=word):
        Tiling(sizes, overlap)
