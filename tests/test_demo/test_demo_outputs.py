# SPDX-License-Identifier: Apache-2.0
"""Pictures, numbers and files of a result."""

import json

import cv2
import numpy as np
import pytest
from scipy import ndimage

from mmcadformer.apis import ReferringResult
from mmcadformer.demo.examples import Example
from mmcadformer.demo.models import Finding, find
from mmcadformer.demo.outputs import (
    MAX_SHOWN,
    Files,
    draw_pictures,
    numbers_html,
    title_html,
    write_files,
)
from mmcadformer.demo.uploads import Limits, Picture, read_picture
from mmcadformer.evaluation import Decision
from mmcadformer.visualization.attention import heat_overlay

SENTENCE = 'the left pool / "A"'


def make_result(mask, seed=0):
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.5, 1, mask.shape).astype(np.float32)
    probability = np.where(mask, probability, 1 - probability)
    image = rng.integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    score = float(probability[mask].mean()) if mask.any() else 0.0
    return ReferringResult(SENTENCE, mask, probability, score, image)


@pytest.mark.parametrize('share', [0.0, 0.05, 0.5, 0.9, 1.0])
def test_polygons_in_pixels_are_the_mask(tmp_path, fill, share):
    mask = np.random.default_rng(7).random((19, 26)) < share
    result = make_result(mask)
    files = write_files(result, Picture(result.image, 'my scene.png'), tmp_path)
    assert files.geotiff is None and files.area is None
    content = json.loads(files.geojson.read_text())
    assert content['coordinates_are'].startswith('pixels of a picture of 26 x 19: x to')
    labels, count = ndimage.label(mask)
    assert len(content['features']) == count
    found = np.zeros_like(labels)
    for feature in content['features']:
        part = fill(feature['geometry']['coordinates'], mask.shape)
        assert not found[part].any()
        found[part] = feature['id']
        facts = feature['properties']
        assert facts['expression'] == SENTENCE
        assert facts['pixels'] == part.sum()
        assert facts['score'] == pytest.approx(
            result.probability[part].mean(), abs=1e-5
        )
        assert len(np.unique(labels[part])) == 1
    assert np.array_equal(found > 0, mask)
    stored = cv2.imread(str(files.mask), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(stored, mask * np.uint8(255))
    assert files.mask.name == 'my_scene_the_left_pool_A_mask.png'


def test_georeferenced_files(tmp_path, fill, write_geotiff):
    import pyproj
    import rasterio

    mask = np.zeros((40, 50), bool)
    mask[5:20, 3:30] = True
    mask[9:12, 8:11] = False
    mask[30:38, 40:50] = True
    result = make_result(mask)
    bands = result.image.transpose(2, 0, 1).clip(1)
    bands[:, :, 31:33] = 0
    path = write_geotiff(tmp_path / 'scene.tif', bands, nodata=0)
    picture = read_picture(path, Limits())
    files = write_files(result, picture, tmp_path)

    # UTM: up to 0.08 % larger or smaller than on the ground.
    assert files.area == pytest.approx(mask.sum() * 0.25, rel=1e-3)
    content = json.loads(files.geojson.read_text())
    assert 'coordinates_are' not in content and 'crs' not in content
    assert len(content['features']) == 2
    to_map = pyproj.Transformer.from_crs(4326, 32614, always_xy=True)
    with rasterio.open(path) as scene, rasterio.open(files.geotiff) as stored:
        assert (stored.crs, stored.transform) == (scene.crs, scene.transform)
        values = stored.read(1)
        pixels = ~scene.transform
    assert np.array_equal(values == 1, mask)
    assert np.array_equal(values == 255, ~picture.valid)
    rings = [
        [pixels * to_map.transform(*corner) for corner in ring]
        for feature in content['features']
        for ring in feature['geometry']['coordinates']
    ]
    assert np.array_equal(fill(rings, mask.shape), mask)


def test_pictures(demo_models, demo_rgb):
    (finding,) = find(demo_models[0], Picture(demo_rgb, 'x.png'), ['the left pool'])
    result = finding.result
    overlay, heat = draw_pictures(result)
    assert np.array_equal(overlay, result.overlay())
    assert heat.shape == overlay.shape
    factor = overlay.shape[1] // demo_rgb.shape[1]
    height = factor * demo_rgb.shape[0]
    expected = heat_overlay(demo_rgb, result.probability)
    assert np.array_equal(heat[:height:factor, ::factor], expected)
    # The scale has the colours that the map gives to grey.
    grey = np.full((1, 2, 3), 128, np.uint8)
    ends = heat_overlay(grey, np.array([[0.0, 1.0]]))[0].astype(int)
    scale = heat[height:].reshape(-1, 3).astype(int)
    for colour in ends:
        assert np.abs(scale - colour).sum(1).min() == 0


def test_large_pictures_are_shown_smaller_but_stored_whole(tmp_path):
    mask = np.zeros((1000, 2 * MAX_SHOWN), bool)
    mask[200:600, 400:1200] = True
    result = make_result(mask)
    overlay, heat = draw_pictures(result)
    assert overlay.shape == heat.shape and overlay.shape[1] == MAX_SHOWN
    files = write_files(result, Picture(result.image, 'x.png'), tmp_path)
    assert cv2.imread(str(files.mask), cv2.IMREAD_UNCHANGED).shape == mask.shape


def test_nothing_is_found_where_there_is_no_data(demo_models, demo_rgb):
    (whole,) = find(demo_models[0], Picture(demo_rgb, 'x.png'), ['the left pool'])
    valid = np.ones(demo_rgb.shape[:2], bool)
    row = np.nonzero(whole.result.mask.any(1))[0][0]
    valid[: row + 1] = False
    picture = Picture(demo_rgb, 'x.png', valid)
    (finding,) = find(demo_models[0], picture, ['the left pool'])
    assert np.array_equal(finding.result.mask, whole.result.mask & valid)
    assert not finding.result.probability[~valid].any()
    inside = finding.result.probability[finding.result.mask]
    assert finding.result.score == pytest.approx(inside.mean())


def test_the_part_that_is_read_gives_the_same_result(demo_models, demo_rgb):
    model = demo_models[0]
    long = 'the blue pool to the left of ' + 'the storage tank near ' * 12 + 'the road'
    part = model.inferencer.model.text_encoder.read_part(long)
    assert long.startswith(part) and 50 < len(part) < len(long)
    (full,), (short,) = (model.inferencer(demo_rgb, text) for text in (long, part))
    assert np.array_equal(full.probability, short.probability)
    assert full.read == part and short.read is None
    (finding,) = find(model, Picture(demo_rgb, 'x.png'), [long])
    html = numbers_html(finding, Files(None, None, None, None))
    assert f'It read “{part}”; the rest was cut off' in html


def test_numbers_and_titles_are_text():
    mask = np.zeros((10, 10), bool)
    mask[2:4] = True
    result = make_result(mask)
    result.expression = '<img src=x> & "it"'
    finding = Finding('model <b>', result, 2.5, 2)
    files = Files(None, None, None, 1234.5)
    html = numbers_html(finding, files)
    assert '20 px' in html and '20.0% of the picture' in html
    assert '1,234 m²' in html and '2.50 s' in html and 'for 2 sentences' in html
    assert f'{result.score:.3f}' in html
    title = title_html(finding, show_model=True)
    assert '&lt;img src=x&gt; &amp; &quot;it&quot;' in title
    assert 'model &lt;b&gt;' in title
    assert 'model' not in title_html(finding, show_model=False)
    empty = make_result(np.zeros((10, 10), bool))
    html = numbers_html(Finding('m', empty, 0.01, 1), files)
    assert 'Nothing found' in html and '10 ms' in html
    empty.presence = Decision(False, 0.031, 0.4)
    html = numbers_html(Finding('m', empty, 0.01, 1), files)
    assert 'Not found, 0.03' in html and 'from 0.40 on' in html


def test_a_picture_one_pixel_wide_is_drawn_small():
    result = make_result(np.arange(1600)[:, None] % 3 > 0)
    overlay, heat = draw_pictures(result)
    assert overlay.shape == heat.shape
    assert overlay.shape[1] == 320 and overlay.shape[0] < 1800


def test_long_names_of_any_script_fit_into_file_names(tmp_path):
    mask = np.ones((4, 4), bool)
    result = make_result(mask)
    result.expression = '\U0001d41a' * 60  # a letter of four bytes
    picture = Picture(result.image, '池' * 80 + '.png')
    files = write_files(result, picture, tmp_path)
    assert files.mask.is_file() and files.geojson.is_file()
    assert files.mask.name.startswith('池池') and '\U0001d41a' in files.mask.name


def test_an_example_that_is_gone_or_never_was_is_a_message(demo_models, tmp_path):
    gradio = pytest.importorskip('gradio', reason='needs the demo extra')
    from mmcadformer.demo.actions import Actions

    names = ['a.png', 'b.png']
    for name in names:
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    examples = [Example(tmp_path / name, ()) for name in names]
    actions = Actions(demo_models, examples, Limits(), tmp_path / 'results')
    (tmp_path / 'b.png').unlink()

    def take(index):
        _, source, preview, message, *_ = actions.take_example(
            gradio.SelectData(None, dict(index=index, value=None))
        )
        return source, preview is None, message

    assert take(0)[:2] == (str(tmp_path / 'a.png'), False)
    source, no_preview, message = take(1)
    assert source is None and no_preview and 'b.png is no longer' in message
    for index in (2, -1, 'a', None, [0, 1], 0.0):
        assert take(index)[:2] == (None, True)
