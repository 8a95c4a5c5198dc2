# SPDX-License-Identifier: Apache-2.0
"""Scenes from the command line: what goes in, and what goes wrong."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip('rasterio', reason='needs the geo extra')

import rasterio
from affine import Affine
from mmengine.config import Config

PLACE = dict(crs='EPSG:32633', transform=Affine(0.5, 0, 400000, 0, -0.5, 5500000))


@pytest.fixture
def make_scene(tmp_path):
    def make(array, name='scene.tif', **profile):
        height, width, count = array.shape
        path = tmp_path / name
        profile = dict(dtype=array.dtype, driver='GTiff') | profile
        with rasterio.open(
            path, 'w', height=height, width=width, count=count, **profile
        ) as file:
            file.write(array.transpose(2, 0, 1))
        return path

    return make


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(1, 256, (90, 110, 3), dtype=np.uint8)


@pytest.fixture
def infer(call_tool, tiny_config, tiny_checkpoint, tmp_path):
    def run(*args):
        common = ['--config', tiny_config, '--checkpoint', tiny_checkpoint]
        common += ['--device', 'cpu', '--out-dir', tmp_path / 'out']
        common += ['--tile-size', 64, '--quiet']
        return call_tool('infer_scene.py', *common, *args)

    return run


def test_writes_everything_and_says_so(infer, make_scene, picture, tmp_path):
    scene = make_scene(picture, **PLACE)
    text = infer(
        scene, 'the left pool', 'a tank', '--formats', 'shp', 'geojson',
        '--probability', 'float32', '--overlap', '0.5', '--batch-size', 3,
        '--simplify', '0.5', '--min-pixels', 5, '--threshold', '0.4',
        '--amp', 'bf16', '--presence', '0.01',
    )  # fmt: skip
    summary = json.loads((tmp_path / 'out/scene.json').read_text())
    assert [r['expression'] for r in summary['expressions']] == [
        'the left pool', 'a tank',
    ]  # fmt: skip
    written = {file.name for file in (tmp_path / 'out').iterdir()}
    expected = {'scene.json', 'scene.geojson', 'scene.shp', 'scene_02_mask.tif'}
    assert expected <= written
    for name in written:
        assert str(tmp_path / 'out' / name) in text
    with rasterio.open(tmp_path / 'out/scene_01_probability.tif') as raster:
        assert raster.dtypes == ('float32',) and raster.crs.to_epsg() == 32633


def test_runs_from_anywhere(
    run_tool, make_scene, picture, tiny_config, tiny_checkpoint, tmp_path
):
    make_scene(picture, **PLACE)
    result = run_tool(
        'infer_scene.py', 'scene.tif', 'it', '--config', tiny_config,
        '--checkpoint', tiny_checkpoint, '--tile-size', 32, cwd=tmp_path,
    )  # fmt: skip
    assert '5/5' in result.stderr  # batches of four of 20 tiles
    assert 'scene.geojson' in result.stdout and '5/5' not in result.stdout
    assert (tmp_path / 'outputs/scene.geojson').exists()


def float_with_nan(picture):
    scene = picture.astype(np.float32) / 3
    scene[:30] = np.nan
    return scene


@pytest.mark.parametrize(
    'change, profile, missing',
    [
        (lambda p: p, {}, 0),
        (lambda p: p, dict(transform=Affine.rotation(20) @ Affine.scale(2, -2)), 0),
        (lambda p: p[..., :1], PLACE, 0),
        (lambda p: p[..., [0, 1]], PLACE, 0),
        (float_with_nan, PLACE, 30 * 110),
        (lambda p: p.astype(np.int16) - 300, PLACE, 0),
        (lambda p: p[:1, :1], PLACE, 0),
    ],
    ids=['no-crs', 'rotated', 'one-band', 'two-bands', 'nan', 'negative', 'one-pixel'],
)
@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_unusual_scenes_give_the_right_result(
    infer, make_scene, picture, tmp_path, change, profile, missing
):
    scene = make_scene(change(picture), **profile)
    infer(scene, 'it')
    with rasterio.open(scene) as source:
        with rasterio.open(tmp_path / 'out/scene_01_mask.tif') as raster:
            mask = raster.read(1)
            assert (raster.crs, raster.transform) == (source.crs, source.transform)
    assert (mask == 255).sum() == missing and np.isin(mask, (0, 1, 255)).all()


def test_bad_input_gets_one_clear_line(infer, make_scene, picture, tmp_path):
    scene = make_scene(picture, **PLACE)
    text = tmp_path / 'text.tif'
    text.write_text('nothing')
    cut = make_scene(picture, 'cut.tif', compress='deflate', **PLACE)
    cut.write_bytes(cut.read_bytes()[:9000])
    flat = tmp_path / 'flat.geojson'
    line = dict(type='LineString', coordinates=[[13.6, 49.6], [13.7, 49.7]])
    flat.write_text(json.dumps(dict(type='Feature', properties={}, geometry=line)))
    nowhere = make_scene(picture, 'nowhere.tif')
    cases = [
        ([tmp_path / 'missing.tif', 'it'], 'missing.tif does not exist'),
        ([text, 'it'], 'text.tif is not a raster'),
        ([cut, 'it'], 'cut.tif is (damaged|not a raster)'),
        ([scene, ' '], 'expression 1 is empty'),
        ([scene, 'it', ''], 'expression 2 is empty'),
        ([scene, '\u200b'], 'expression 1 is empty'),
        ([scene, 'it', '--aoi', flat], 'flat.geojson has no area'),
        ([scene, 'it', '--aoi', flat, '--aoi-layer', 'x'], "flat.geojson .*layer 'x'"),
        (
            [scene, 'it', '--aoi-layer', 'x'],
            "'x' is to be a layer of an area .* none is given",
        ),
        ([scene, 'it', '--aoi', tmp_path / 'no.shp'], 'no.shp does not exist'),
        ([scene, 'it', '--bands', 1, 2], 'give three'),
        ([scene, 'it', '--bands', 1, 2, 7], 'no band 7'),
        ([scene, 'it', '--overlap', 1], 'overlap'),
        ([scene, 'it', '--presence', 'no.json'], 'no.json'),
        ([scene, 'it', '--formats', 'dwg'], 'dwg'),
        ([scene, 'it', '--batch-size', 0], 'batch size'),
        ([scene, 'it', '--crs', 'EPSG:1'], 'EPSG:1'),
        ([nowhere, 'it', '--formats', 'geojson'], 'GeoJSON'),
        ([scene, 'it', '--out-dir', scene / 'out'], 'cannot be made'),
    ]
    for args, message in cases:
        with pytest.raises(SystemExit) as stop:
            infer(*args)
        assert stop.match(f'^infer_scene.py: .*{message}'), args
        assert '\n' not in str(stop.value)


def test_a_very_long_expression_is_cut_with_a_word(
    infer, make_scene, picture, tmp_path
):
    text = ('the large red pool ' * 600)[:10000].strip()
    infer(make_scene(picture, **PLACE), text, '--formats', 'shp', 'gpkg', 'geojson')
    summary = json.loads((tmp_path / 'out/scene.json').read_text())
    assert summary['expressions'][0]['expression'] == text


@pytest.mark.parametrize('share', [None, '0.4'])
def test_presence_is_calibrated_on_validation_data(
    call_tool, infer, tiny_config, tiny_checkpoint, make_scene, picture, tmp_path, share
):
    out = tmp_path / 'presence.json'
    options = ['--max-false-alarms', share] if share else []
    text = call_tool(
        'analysis/calibrate_presence.py', '--config', tiny_config, '--checkpoint',
        tiny_checkpoint, '--out', out, '--device', 'cpu', '--quiet', *options,
    )  # fmt: skip
    content = json.loads(out.read_text())
    assert f'{content["threshold"]:.4f}' in text and 0 <= content['threshold'] <= 1
    examples = content['examples']
    assert examples['present']['count'] > 0 and len(examples) > 1
    assert examples['present']['passing'] == content['recall']
    if share:
        assert content['false_alarms'] <= float(share)
    else:
        assert content['recall'] >= content['false_alarms']
    infer(make_scene(picture, **PLACE), 'it', '--presence', out)
    summary = json.loads((tmp_path / 'out/scene.json').read_text())
    assert summary['presence'] == content['threshold']


def write_json_lines(root, masks):
    """A data set of one's own: an image, two sentences and masks a line."""
    rng = np.random.default_rng(0)
    lines = []
    for number, (category, mask) in enumerate(masks):
        picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f'{number}.png'), picture)
        if mask == 'file':
            mask = f'{number}_mask.png'
            drawn = np.zeros((60, 80), np.uint8)
            drawn[20:30, 10:40] = 255
            cv2.imwrite(str(root / mask), drawn)
        lines.append(
            dict(
                image=f'{number}.png', expressions=['it', f'the {category}'],
                category=category, mask=mask, split='val',
            )
        )  # fmt: skip
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (root / 'annotations.jsonl').write_text(text)


@pytest.fixture
def calibrate(call_tool, tiny_config, tiny_checkpoint, tmp_path):
    """Calibrates on a data set of one's own; gives what was written."""

    def run(*masks, wrapped=False):
        write_json_lines(tmp_path, masks)
        cfg = Config.fromfile(tiny_config)
        dataset = dict(
            type='ReferringJsonDataset', data_root=str(tmp_path), split='val'
        )
        if wrapped:
            dataset = dict(type='ConcatDataset', datasets=[dataset, dataset])
        cfg.val_dataloader.dataset = dataset
        cfg.dump(tmp_path / 'config.py')
        out = tmp_path / 'presence.json'
        call_tool(
            'analysis/calibrate_presence.py', '--config', tmp_path / 'config.py',
            '--checkpoint', tiny_checkpoint, '--out', out, '--device', 'cpu', '--quiet',
        )  # fmt: skip
        examples = json.loads(out.read_text())['examples']
        return {kind: numbers['count'] for kind, numbers in examples.items()}

    return run


POLYGON = [[10, 20, 40, 20, 40, 30, 10, 30]]


def test_calibration_reads_masks_in_files(calibrate):
    counts = calibrate(('pool', 'file'), ('tank', 'file'))
    assert counts == {'present': 4, 'erased': 4, 'other image': 4}


def test_calibration_goes_through_wrapped_data_sets(calibrate):
    counts = calibrate(('pool', POLYGON), ('tank', POLYGON), wrapped=True)
    assert counts == {'present': 8, 'erased': 8, 'other image': 8}


def test_calibration_looks_up_unknown_sizes(calibrate):
    """Lines of JSON needn't say how large an image is."""
    counts = calibrate(('pool', POLYGON), ('tank', POLYGON))
    assert counts == {'present': 4, 'erased': 4, 'other image': 4}


def test_expressions_that_refer_to_nothing_calibrate(calibrate):
    """They are what counterexamples otherwise have to be made up for."""
    counts = calibrate(('pool', POLYGON), ('pool', None))
    assert counts == {'present': 2, 'no target': 2, 'erased': 2, 'other image': 2}
    with pytest.raises(SystemExit, match='no expression of these data refers'):
        calibrate(('pool', None))


@pytest.mark.parametrize(
    'other_data',
    [
        ('--cfg-options', 'val_dataloader.dataset.data_root=/nowhere/at/all'),
        ('--data-root', '/nowhere/at/all'),
    ],
)
def test_calibration_says_what_is_missing(
    call_tool, tiny_config, tiny_checkpoint, tmp_path, other_data
):
    with pytest.raises(SystemExit, match='nowhere'):
        call_tool(
            'analysis/calibrate_presence.py', '--config', tiny_config,
            '--checkpoint', tiny_checkpoint, '--out', tmp_path / 'p.json', *other_data,
        )  # fmt: skip


@pytest.mark.parametrize(
    'options, message',
    [
        (['--max-images', '0'], 'max_images must be 1 or more, not 0'),
        (['--max-images', '-3'], 'max_images must be 1 or more, not -3'),
        (
            ['--max-false-alarms', '5', '--checkpoint', 'gone.pth'],
            'out of range: 0...1',
        ),
        (['--out', '.', '--checkpoint', 'gone.pth'], 'is a folder'),
    ],
)
def test_calibration_refuses_bad_options(
    call_tool, tiny_config, tiny_checkpoint, tmp_path, monkeypatch, options, message
):
    """Those that need no data before the model is loaded."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        call_tool(
            'analysis/calibrate_presence.py', '--config', tiny_config,
            '--checkpoint', tiny_checkpoint, '--device', 'cpu', *options,
        )  # fmt: skip
