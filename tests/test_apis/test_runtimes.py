# SPDX-License-Identifier: Apache-2.0
"""Exported files in the place of a config and a checkpoint."""

import json
import re
import runpy
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcadformer.apis import ReferringInferencer, init_model
from mmcadformer.demo.sources import choose_models
from mmcadformer.export import Quantization, draw_samples, export_model

pytest.importorskip('onnxruntime', reason="needs the extra 'export'")
pytest.importorskip('onnx', reason="needs the extra 'export'")
for module in ('openvino', 'nncf'):
    if module not in sys.modules:
        sys.modules.setdefault('openvino_telemetry', None)  # as the package does
    pytest.importorskip(module, reason="needs the extra 'openvino'")

SENTENCES = [
    'the left pool',
    'a red court above the large white tank',
    'the small ' + 'very ' * 60 + 'blue storage tank',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('exported')


@pytest.fixture(scope='module')
def files(tiny_config, folder):
    """Config and checkpoint of two stages with a presence head."""
    cfg = Config.fromfile(tiny_config)
    cfg.model.neck = None
    options = dict(
        backbone=dict(depths=(1, 1), num_heads=(1, 1), strides=(4, 2)),
        decode_head=dict(
            in_channels=(8, 16), in_index=(0, 1), text_levels=(1,), presence={}
        ),
    )
    cfg.merge_from_dict(dict(model=options))
    cfg.model.backbone.out_indices = (0, 1)
    torch.manual_seed(2)
    model = init_model(cfg, device='cpu')
    with torch.no_grad():
        for parameter in model.parameters():  # none stays at zero or one
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.decode_head.presence.threshold.fill_(0.0)  # all is found
    torch.save(dict(state_dict=model.state_dict()), folder / 'small.pth')
    cfg.dump(folder / 'small.py')
    return folder / 'small.py', folder / 'small.pth'


@pytest.fixture(scope='module')
def plain(files):
    return ReferringInferencer(*files, 'cpu')


@pytest.fixture(scope='module')
def exported(files, folder):
    """ONNX and OpenVINO files, and one in 8 bits, by name."""
    model = init_model(*files, 'cpu')
    samples = draw_samples(model.cfg, 3)
    kinds = {
        'a.onnx': None,
        'a.xml': None,
        'eight.xml': Quantization(samples),
        'kept.xml': Quantization(samples, ('conv_seg',)),
    }
    paths = {name: folder / name for name in kinds}
    for name, bits in kinds.items():
        export_model(model, paths[name], (64, 64), quantization=bits)
    return paths


@pytest.fixture(scope='module')
def picture():
    cells = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    return np.kron(cells, np.ones((11, 11, 1), np.uint8))


@pytest.mark.parametrize(
    ('file', 'runtime'),
    [('a.xml', None), ('a.onnx', None), ('a.onnx', 'openvino')],
)
def test_files_answer_as_the_network(plain, exported, picture, file, runtime):
    """Of several sentences on one image, of one too long, and on another image."""
    inferencer = ReferringInferencer(exported[file], runtime=runtime)
    pairs = [*((picture, text) for text in SENTENCES), (picture[:40], SENTENCES[0])]
    for found, expected in zip(inferencer(pairs), plain(pairs), strict=True):
        assert np.abs(found.probability - expected.probability).max() < 1e-4
        assert expected.probability.std() > 0.01
        assert found.read == expected.read
        assert abs(found.presence.score - expected.presence.score) < 1e-4
        assert found.presence.threshold == expected.presence.threshold == 0
        assert found.precision == 'float32'


def test_bfloat16_is_asked_for_as_of_a_network(plain, exported, picture):
    inferencer = ReferringInferencer(exported['a.xml'], amp='bf16')
    (found,), (expected,) = inferencer(picture, 'it'), plain(picture, 'it')
    assert 0 < np.abs(found.probability - expected.probability).max() < 0.05
    assert found.precision == 'bf16'
    assert inferencer.precision == 'precision: bf16, by OpenVINO'


def test_8_bits_are_smaller_and_nearly_the_same(plain, exported, picture):
    inferencer = ReferringInferencer(exported['eight.xml'])
    for found, expected in zip(
        inferencer(picture, SENTENCES), plain(picture, SENTENCES), strict=True
    ):
        assert 1e-4 < np.abs(found.probability - expected.probability).max() < 0.2
        assert found.precision == 'int8+float32'
    weights, eight = (
        exported[name].with_suffix('.bin').stat().st_size
        for name in ('a.xml', 'eight.xml')
    )
    assert eight < 0.5 * weights


@pytest.mark.parametrize(
    'file, in_float', [('eight.xml', 'fusions.0'), ('kept.xml', 'conv_seg')]
)
def test_some_layers_stay_in_float(exported, file, in_float):
    names = re.findall(r'name="([^"]*)/fq_weights', exported[file].read_text())
    kinds = ('conv_seg', 'fusions.0', 'fusions.1', 'stages.0')
    found = {kind for kind in kinds if any(kind in name for name in names)}
    assert found == {*kinds} - {in_float}


def test_nothing_reports_that_it_is_used(exported):
    assert sys.modules['openvino'] and sys.modules['nncf']
    assert sys.modules['openvino_telemetry'] is None


@pytest.mark.parametrize(
    ('args', 'options', 'message'),
    [
        (('a.onnx',), dict(amp='bf16'), 'onnxruntime computes in float32'),
        (('a.xml',), dict(amp='fp16'), 'OpenVINO computes in float32 or bf16'),
        (('a.xml',), dict(runtime='onnx'), 'onnxruntime runs .onnx files'),
        (('a.xml',), dict(device='cuda'), 'runs on processors'),
        (('a.xml',), dict(cfg_options={'a': 1}), 'config options go with a config'),
        (('a.xml',), dict(compile=True), 'torch.compile has nothing to do'),
        (('small.py', 'small.pth'), dict(runtime='openvino'), 'give one as checkpoint'),
        (('no.xml',), {}, 'no.xml does not exist'),
    ],
)
def test_what_cannot_be_is_named(exported, folder, args, options, message):
    paths = [folder / name for name in args]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ReferringInferencer(*paths, **options)


def test_other_files_are_named(exported, folder, tmp_path):
    damaged, alone = tmp_path / 'damaged.xml', tmp_path / 'alone.xml'
    damaged.write_text('<net>')
    damaged.with_suffix('.bin').touch()
    alone.write_bytes(exported['a.xml'].read_bytes())
    old, evil = tmp_path / 'old.onnx', tmp_path / 'evil.onnx'
    facts = json.loads(exported['a.onnx'].with_suffix('.json').read_text())
    rewrite(exported['a.onnx'], old, {k: facts[k] for k in facts if k != 'pipeline'})
    rewrite(exported['a.onnx'], evil, dict(facts, pipeline=[dict(type='os.getcwd')]))
    for path, message in (
        (damaged, 'damaged.xml can not be read as a file of tools/export.py'),
        (alone, 'alone.bin does not exist'),
        (old, 'old.onnx was exported by an older version'),
        (evil, "evil.onnx: pipeline.0.type = 'os.getcwd' is not a registered name"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            ReferringInferencer(path)


def rewrite(source, target, facts):
    """An ONNX file with other metadata."""
    import onnx

    graph = onnx.load(str(source))
    (entry,) = (e for e in graph.metadata_props if e.key == 'metadata.json')
    entry.value = json.dumps(facts)
    onnx.save(graph, str(target))


def test_a_file_is_not_exported_again(exported, tmp_path):
    with pytest.raises(ValueError, match='a.xml is exported already'):
        export_model(init_model(exported['a.xml']), tmp_path / 'x.onnx')


def test_scenes(files, exported, picture, folder, tmp_path):
    rasterio = pytest.importorskip('rasterio', reason='needs the geo extra')
    from mmcadformer.scene import SceneSegmentor

    scene = tmp_path / 'scene.tif'
    height, width, bands = picture.shape
    profile = dict(driver='GTiff', dtype='uint8', crs='EPSG:32633')
    place = rasterio.transform.from_origin(400000, 5500000, 0.5, 0.5)
    with rasterio.open(
        scene, 'w', width=width, height=height, count=bands, transform=place, **profile
    ) as file:
        file.write(picture.transpose(2, 0, 1))
    found, prints = [], set()
    for number, model in enumerate([files, (None, exported['a.xml'])]):
        segmentor = SceneSegmentor.from_config(*model, 'cpu', tile_sizes=(64,))
        prints.add(segmentor.network.fingerprint())
        out = tmp_path / str(number)
        result = segmentor(scene, SENTENCES[:2], out, progress=False)
        assert result.summary['provenance']['precision'] == 'float32'
        with rasterio.open(out / 'scene_02_probability.tif') as file:
            found.append(file.read(1).astype(int))
        assert segmentor.network.fill == (124, 116, 104)
    assert np.abs(found[0] - found[1]).max() <= 1  # of 254
    prints.add(SceneSegmentor.from_config(exported['eight.xml']).network.fingerprint())
    assert len(prints) == 3


def test_the_page(exported, picture):
    from mmcadformer.demo.models import find, load_models

    sources = choose_models(str(exported['a.xml']), None, [])
    (model,) = load_models(sources, 'cpu', runtime='openvino')
    assert model.name == 'a'
    assert len(list(find(model, FakePicture(picture), SENTENCES[:2]))) == 2


class FakePicture:
    """An upload."""

    valid = None

    def __init__(self, rgb):
        self.rgb = rgb


@pytest.fixture
def call(repo_root, monkeypatch, capsys):
    """Calls a tool in this process: what it printed."""

    def run(tool, *args):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, args)])
        runpy.run_path(str(repo_root / 'tools' / tool), run_name='__main__')
        return capsys.readouterr().out

    return run


def test_the_command_line(plain, exported, files, tiny_data, call, tmp_path):
    image = next(iter(sorted((tiny_data / 'images/synthrs/JPEGImages').glob('*test*'))))
    common = [image, 'the left pool', '--out-dir', tmp_path / 'out']
    said = call('infer.py', *common, '--checkpoint', exported['a.xml'])
    assert 'precision: float32, by OpenVINO' in said
    (entry,) = json.loads((tmp_path / 'out/results.json').read_text())['results']
    assert abs(entry['area'] - plain(image, 'the left pool')[0].mask.sum()) <= 2
    onnx = ['--checkpoint', exported['a.onnx'], '--config', files[0]]
    said = call('infer.py', *common, *onnx, '--runtime', 'openvino', '--amp', 'bf16')
    assert 'precision: bf16, by OpenVINO' in said
    for more, message in (
        (['--checkpoint', exported['a.xml'], '--explain'], 'shows no attention'),
        (['--config', files[0], '--checkpoint', files[1], '--runtime', 'onnx'], 'runs'),
    ):
        with pytest.raises(SystemExit, match=message):
            call('infer.py', *common, *more)


def test_files_are_tested_as_checkpoints_are(exported, files, call, tmp_path):
    scores = []
    for number, checkpoint in enumerate([files[1], exported['a.xml']]):
        out = tmp_path / f'{number}.jsonl'
        work = ['--work-dir', tmp_path / 'work', '--out', out]
        call('test.py', files[0], checkpoint, *work)
        scores.append(json.loads(out.with_suffix('.metrics.json').read_text()))
    assert scores[1]['precision'] == 'float32'
    assert scores[0]['metrics']['mIoU'] == pytest.approx(
        scores[1]['metrics']['mIoU'], abs=0.1
    )
