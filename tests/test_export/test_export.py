# SPDX-License-Identifier: Apache-2.0
"""Exported files run without this package and give what the model gives."""

import json
import re
import runpy
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.models import SegDataPreProcessor
from PIL import Image

from mmcadformer.apis import ReferringInferencer, init_model
from mmcadformer.export import (
    ExportableSegmentor,
    check_parity,
    export_model,
    portable_tokenizer,
)

onnx = pytest.importorskip('onnx', reason="needs the extra 'export'")
onnxruntime = pytest.importorskip('onnxruntime', reason="needs the extra 'export'")

SHAPE = (64, 64)
SENTENCES = [
    'the tennis court in the upper left corner',
    'pool',
    'the small ' + 'very ' * 60 + 'blue storage tank',
]
CROSS_SCALE = dict(type='CrossScaleInteractionNeck', channels=15, grid_size=3)
NECKS = dict(
    cadformer=CROSS_SCALE,
    lavt=None,
    lgce=dict(
        type='GuidedMultiScaleNeck', text_channels=32, depths=(1, 1), num_heads=2
    ),
    rmsin=dict(CROSS_SCALE, released_layout=True),
    fianet=dict(type='TextAwareMultiScaleNeck', text_channels=32, num_blocks=1),
)


def small_model(root, method, with_neck=True, presence=None, seed=0):
    """A method with two stages, a BERT of one layer and random weights."""
    cfg = Config.fromfile(root / f'configs/{method}_tiny_synthrs.py')
    bert = dict(hidden_size=32, num_attention_heads=2, intermediate_size=32)
    widths = dict(in_channels=(8, 16), text_channels=32)
    options = dict(
        text_encoder=dict(config=bert, max_tokens=24),
        backbone=dict(
            embed_dims=8,
            depths=(2, 1),
            num_heads=(1, 2),
            strides=(4, 2),
            out_indices=(0, 1),
            text_channels=32,
        ),
        decode_head=dict(
            **widths,
            in_index=(0, 1),
            channels=16,
            num_heads=2,
            feedforward_channels=16,
            presence=presence,
        ),
    )
    if method == 'cadformer':
        options['decode_head']['text_levels'] = (1,)
    cfg.merge_from_dict(dict(model=options))
    cfg.model.backbone.pretrain_img_size = SHAPE[0]
    for step in cfg.test_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = SHAPE
    neck = NECKS[method] if with_neck else None
    cfg.model.neck = neck and dict(neck, in_channels=(8, 16))
    torch.manual_seed(seed)
    model = init_model(cfg, device='cpu')
    with torch.no_grad():
        for parameter in model.parameters():  # none stays at zero or one
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def save(model, folder):
    """Config and checkpoint."""
    model.cfg.dump(folder / 'small.py')
    torch.save(dict(state_dict=model.state_dict()), folder / 'small.pth')
    return folder / 'small.py', folder / 'small.pth'


def open_onnx(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(path), options, providers=['CPUExecutionProvider']
    )


def random_picture(height, width):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def run_export(repo_root):
    """The command, in this process: ``run_export(*args)`` is what it printed."""

    def run(*args):
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
            patch.setattr(sys, 'argv', ['export.py', *map(str, args)])
            runpy.run_path(str(repo_root / 'tools/export.py'), run_name='__main__')
        return out.getvalue()

    return run


@pytest.fixture(scope='module')
def model(repo_root):
    model = small_model(repo_root, 'cadformer', presence={}, seed=2)
    model.decode_head.presence.threshold.fill_(0.0)  # all is found
    model.decode_head.conv_seg.bias.data[0] += 0.6  # as many pixels in as out
    for transform in model.cfg.test_dataloader.dataset.pipeline:
        if transform['type'] == 'Resize':
            transform['backend'] = 'pillow'  # as in the full-size configs
    return model


@pytest.fixture(scope='module')
def lavt(repo_root):
    return small_model(repo_root, 'lavt')


@pytest.fixture(scope='module')
def files(model, tmp_path_factory):
    return save(model, tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def output(files, run_export, tmp_path_factory):
    """What the command printed, and the ONNX file for any image size it wrote."""
    path = tmp_path_factory.mktemp('export') / 'onnx/small.onnx'
    return run_export(*files, '--out', path, '--dynamic-size'), path


@pytest.fixture(scope='module')
def exported(output):
    return output[1]


@pytest.mark.parametrize('method', NECKS)
def test_rewritten_parts_compute_the_same(repo_root, method):
    """In float64, where a difference can't hide behind rounding."""
    model = small_model(repo_root, method).double()
    exportable = ExportableSegmentor(model)
    sizes = [(70, 45), (32, 97)]
    results = check_parity(model, exportable, sizes)
    assert len(results) == 6
    assert max(result.difference for result in results) < 1e-9

    # A trace, which both exporters make, must leave all of that open.
    tokens = model.text_encoder.tokenize(SENTENCES[:2])
    example = (torch.zeros(2, 3, 64, 64), tokens['input_ids'], tokens['text_mask'])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', torch.jit.TracerWarning)
        traced = torch.jit.trace(exportable, example, check_trace=False)
    with torch.jit.optimized_execution(False):  # which would take seconds
        results = check_parity(model, traced, sizes[:1])
    assert max(result.difference for result in results) < 1e-9


@pytest.mark.parametrize('rgb', [True, False])
@pytest.mark.parametrize('mean', [True, False])
def test_the_preprocessors_colours_are_found_by_trying(repo_root, rgb, mean):
    """Its attributes have other names in the OpenMMLab releases."""
    model = small_model(repo_root, 'lavt')
    options = dict(bgr_to_rgb=rgb, test_cfg=dict(size_divisor=32))
    if mean:
        options.update(mean=(10.0, 20.0, 30.0), std=(2.0, 3.0, 4.0))

    class OpenMMLab(SegDataPreProcessor):
        """Names the attribute as mmsegmentation 1.2.2 does."""

        def __init__(self):
            super().__init__(**options)
            self.channel_conversion = self._channel_conversion
            del self._channel_conversion

        def forward(self, data, training=False):
            images = torch.stack(data['inputs'])
            images = images[:, [2, 1, 0]] if self.channel_conversion else images
            if self._enable_normalize:
                images = (images - self.mean) / self.std
            return dict(inputs=images, data_samples=data['data_samples'])

    for preprocessor in (SegDataPreProcessor(**options), OpenMMLab()):
        model.data_preprocessor = preprocessor
        exportable = ExportableSegmentor(model)
        assert exportable.takes_bgr == (not rgb)
        (result,) = check_parity(model, exportable, [(64, 64)], [('bridge',)])
        assert result.difference < 1e-5


def test_onnx_gives_the_packages_probabilities(model, exported):
    """From the file's pixels on, for batches, sentences and image sizes."""
    session = open_onnx(exported)
    tokenizer = portable_tokenizer(model)
    cfg = model.cfg.copy()
    pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset.pipeline = [
        transform for transform in pipeline if transform['type'] != 'Resize'
    ]
    inferencer = ReferringInferencer(cfg, device='cpu')
    inferencer.model.load_state_dict(model.state_dict())
    for size in ((64, 64), (33, 90), (128, 96)):
        picture = random_picture(*size)
        expected = inferencer(picture, SENTENCES)
        image = picture.transpose(2, 0, 1)[None].astype(np.float32)
        for count in (1, 2, 3):
            encodings = tokenizer.encode_batch(SENTENCES[:count])
            feed = dict(
                image=np.repeat(image, count, axis=0),
                input_ids=np.array([e.ids for e in encodings]),
                text_mask=np.array([e.attention_mask for e in encodings], bool),
            )
            found, presence = session.run(['probability', 'presence'], feed)
            assert found.shape == (count, *size) and presence.shape == (count,)
            for i, (probability, result) in enumerate(
                zip(found, expected, strict=False)
            ):
                assert np.abs(probability - result.probability).max() < 1e-3
                assert abs(presence[i] - result.presence.score) < 1e-3
                assert result.probability.std() > 0.05


def test_tokenizer_travels_along(model, exported):
    inside = open_onnx(exported).get_modelmeta().custom_metadata_map
    beside = exported.with_name('small.tokenizer.json').read_text()
    assert json.loads(inside['tokenizer.json']) == json.loads(beside)
    facts = json.loads(inside['metadata.json'])
    assert facts == json.loads(exported.with_name('small.json').read_text())
    assert facts['size'] == list(SHAPE)
    assert facts['dynamic_size'] and facts['antialias']
    assert facts['presence_threshold'] == 0
    tokenizer = portable_tokenizer(model)
    assert tokenizer.to_str() == inside['tokenizer.json']
    expected = model.text_encoder.tokenize(SENTENCES)
    encodings = tokenizer.encode_batch(SENTENCES)
    assert [e.ids for e in encodings] == expected['input_ids'].tolist()
    masks = [[bool(m) for m in e.attention_mask] for e in encodings]
    assert masks == expected['text_mask'].tolist()
    assert len(encodings[2].ids) == facts['max_tokens'] == 24
    assert facts['keep_end'] is True


@pytest.mark.parametrize('pad_to_max', [False, True])
def test_the_first_ids_are_the_encoders_where_no_tokenizer_can_cut(
    lavt, monkeypatch, pad_to_max
):
    encoder = lavt.text_encoder
    for key, value in dict(keep_end=False, pad_to_max=pad_to_max).items():
        monkeypatch.setattr(encoder, key, value)
    tokenizer = portable_tokenizer(lavt)
    for sentences in (SENTENCES, SENTENCES[:2]):
        expected = encoder.tokenize(sentences)
        encodings = tokenizer.encode_batch(sentences)
        ids = [e.ids[:24] for e in encodings]
        masks = [[bool(m) for m in e.attention_mask[:24]] for e in encodings]
        assert ids == expected['input_ids'].tolist()
        assert masks == expected['text_mask'].tolist()


@pytest.fixture(scope='module')
def run_example(repo_root):
    """The example where this package and PyTorch can't be imported."""
    example = repo_root / 'projects/cadformer/onnx_runtime_example.py'
    blocked = ('mmcadformer', 'mmengine', 'mmcv', 'mmseg', 'torch', 'transformers')

    def run(folder, *args):
        program = (
            f'import runpy, sys\nfor name in {blocked}: sys.modules[name] = None\n'
            f'sys.argv = {["", *map(str, args)]}\n'
            f'runpy.run_path({str(example)!r}, run_name="__main__")'
        )
        command = [sys.executable, '-c', program]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    return run


def smooth_picture(height, width):
    """Areas of colour, with a little noise, uint8 RGB."""
    generator = np.random.default_rng(0)
    cells = generator.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8)
    areas = np.asarray(Image.fromarray(cells).resize((width, height), Image.BICUBIC))
    return areas // 4 * 3 + generator.integers(0, 64, areas.shape, dtype=np.uint8)


def save_picture(kind, picture, path):
    """As a plain PNG, of 16 bits, or with a tag that says that it lies on its side."""
    if kind == '16 bit':
        grey = picture[..., 0].astype(np.uint16) * 256 + picture[..., 1]
        Image.fromarray(grey).save(path)
    elif kind == 'turned':
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(picture).save(path, exif=exif)
    else:
        Image.fromarray(picture).save(path)


@pytest.mark.parametrize(
    ('backend', 'kind', 'size'),
    [
        ('pillow', 'plain', (100, 140)),
        ('cv2', 'plain', (140, 100)),
        ('cv2', 'turned', (150, 90)),
    ],
)
def test_example_runs_without_the_package(
    backend, kind, size, files, exported, run_example, tmp_path
):
    """And finds what the package finds."""
    graph = onnx.load(str(exported))
    (entry,) = (e for e in graph.metadata_props if e.key == 'metadata.json')
    facts = dict(json.loads(entry.value), antialias=backend == 'pillow')
    entry.value = json.dumps(facts)
    onnx.save(graph, str(tmp_path / 'small.onnx'))
    save_picture(kind, smooth_picture(*size), tmp_path / 'image.png')

    ran = run_example(tmp_path, 'small.onnx', 'image.png', SENTENCES[0], 'mask.png')
    assert ran.returncode == 0, ran.stderr
    mask = np.asarray(Image.open(tmp_path / 'mask.png'))

    cfg = Config.fromfile(files[0])
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[0] = dict(type='WholeLoadImageFromFile')
    for transform in pipeline:
        if transform['type'] == 'Resize':
            transform['backend'] = backend
    inferencer = ReferringInferencer(cfg, files[1], device='cpu')
    (expected,) = inferencer(tmp_path / 'image.png', SENTENCES[0])
    assert 0.1 < expected.mask.mean() < 0.9
    assert mask.shape == size  # turned or not: pixels as stored
    # OpenCV's fixed point is off by one in some colours.
    wrong = (mask != expected.mask).mean()
    assert wrong < (0.001 if backend == 'pillow' else 0.01)


def test_example_says_that_nothing_is_found(model, exported, run_example, tmp_path):
    graph = onnx.load(str(exported))
    (entry,) = (e for e in graph.metadata_props if e.key == 'metadata.json')
    entry.value = json.dumps(dict(json.loads(entry.value), presence_threshold=1.0))
    onnx.save(graph, str(tmp_path / 'small.onnx'))
    Image.fromarray(smooth_picture(64, 64)).save(tmp_path / 'image.png')
    ran = run_example(tmp_path, 'small.onnx', 'image.png', 'pool', 'mask.png')
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(r'pool: not found, 0\.\d\d', ran.stdout.strip())
    assert not np.asarray(Image.open(tmp_path / 'mask.png')).any()


def test_example_names_what_is_wrong(exported, run_example, tmp_path):
    Image.fromarray(random_picture(9, 9)).save(tmp_path / 'image.png')
    save_picture('16 bit', random_picture(9, 9), tmp_path / 'deep.png')
    for args, message in (
        ((exported, 'deep.png', 'it', 'mask.png'), 'other depths'),
        ((exported, 'image.png', '\u200b', 'mask.png'), 'the sentence is empty'),
        ((exported, 'image.png'), 'MODEL IMAGE SENTENCE OUT'),
    ):
        ran = run_example(tmp_path, *args)
        assert ran.returncode == 1 and message in ran.stderr
        assert 'Traceback' not in ran.stderr


def test_fixed_size_with_masks_of_phrases(repo_root, run_export, run_example, tmp_path):
    """FIANet's text mask has three rows for each sentence."""
    files = save(small_model(repo_root, 'fianet'), tmp_path)
    path = tmp_path / 'fixed.onnx'
    lines = run_export(*files, '--out', path, '--shape', 48, 80).splitlines()[:-1]
    assert [' '.join(line.split()[:2]) for line in lines] == [
        '1 expression', '2 expressions', '3 expressions'
    ]  # fmt: skip
    assert all('48 x 80 px' in line for line in lines)
    inputs = {entry.name: entry.shape for entry in open_onnx(path).get_inputs()}
    assert inputs == dict(
        image=['batch', 3, 48, 80],
        input_ids=['batch', 'tokens'],
        text_mask=['batch', 3, 'tokens'],
    )
    facts = json.loads((tmp_path / 'fixed.json').read_text())
    assert facts['inputs']['text_mask'].startswith('bool (batch, 3, tokens)')
    assert not facts['dynamic_size'] and not facts['antialias']
    assert [*facts['outputs']] == ['probability']  # no presence head
    ran = run_example(tmp_path, path, 'image.png', 'it', 'mask.png')
    assert ran.returncode == 1 and 'fixed.onnx needs masks of phrases' in ran.stderr


def test_torch_export_gives_the_models_probabilities(repo_root, tmp_path):
    """As the file that was written gives them, opened again."""
    if not hasattr(torch.export.Dim, 'AUTO'):
        pytest.skip('needs PyTorch 2.6')
    # Tracing takes many seconds, and the neck's share isn't small.
    model = small_model(repo_root, 'cadformer', with_neck=False, presence={})
    path = tmp_path / 'small.pt2'
    results = export_model(model, path, SHAPE)
    assert max(result.difference for result in results) < 1e-3
    assert [(result.batch, result.size) for result in results] == [
        (count, SHAPE) for count in (1, 2, 3)
    ]
    assert len({result.tokens for result in results}) == 3
    with zipfile.ZipFile(path) as file:
        (name,) = (n for n in file.namelist() if n.endswith('/tokenizer.json'))
        inside = json.loads(file.read(name))
    assert inside == json.loads((tmp_path / 'small.tokenizer.json').read_text())


def test_a_wrong_file_is_refused_and_removed(lavt, tmp_path, monkeypatch):
    from mmcadformer.export import exportable

    def other(self, x):
        return torch.nn.functional.relu(x) + 1

    stand_in = type('Other', (), dict(forward=other))
    monkeypatch.setitem(exportable._REPLACEMENTS, torch.nn.ReLU, stand_in)
    with pytest.raises(ValueError, match='differs from the original'):
        export_model(lavt, tmp_path / 'bad.onnx', SHAPE)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_it_is_ended(files, repo_root, tmp_path):
    """By SIGTERM, while the model is being written, whatever code runs then."""
    command = [sys.executable, repo_root / 'tools/export.py', *files, '--out']
    process = subprocess.Popen([*command, tmp_path / 'out/x.onnx'])
    for _ in range(600):
        if list(tmp_path.glob('out/export_*')) or process.poll() is not None:
            break
        time.sleep(0.1)
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    assert not list((tmp_path / 'out').iterdir())


def test_bad_requests_are_named(lavt, tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    (tmp_path / 'folder.onnx').mkdir()
    (tmp_path / 'y.json').mkdir()
    for path, options, error, message in (
        ('x.tflite', {}, ValueError, 'x.tflite must end in .onnx'),
        ('x.pt2', dict(dynamic_size=True), ValueError, 'only .onnx files'),
        ('folder.onnx', {}, ValueError, 'folder.onnx is a folder'),
        ('y.onnx', {}, ValueError, 'y.json is a folder'),
        ('file/x.onnx', {}, OSError, 'cannot write to the folder .*file'),
    ):
        with pytest.raises(error, match=message):
            export_model(lavt, tmp_path / path, **options)
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match=r"onnxruntime: pip install -e '.\[export\]'"):
        export_model(lavt, tmp_path / 'x.onnx')


def test_weights_too_large_for_onnx_are_refused(repo_root, tmp_path):
    model = small_model(repo_root, 'lavt')
    # 2 GiB to everyone who asks, 4 bytes in memory.
    model.register_buffer('ballast', torch.zeros(1).expand(2**29))
    with pytest.raises(ValueError, match='2.0 GiB.*write a .pt2 file'):
        export_model(model, tmp_path / 'x.onnx')


def test_command_says_what_it_compared_and_wrote(output):
    text, path = output
    *lines, last = text.splitlines()
    pattern = r'(\d) expressions? .* (\d+) tokens, (.*) px: .* differ by (.*)'
    compared = [re.fullmatch(pattern, line).groups() for line in lines]
    batches, tokens, sizes, differences = map(set, zip(*compared, strict=True))
    assert batches == {'1', '2', '3'} and len(tokens) == 3
    assert sizes == {'64 x 64', '32 x 48', '96 x 96', '69 x 53'}
    assert max(map(float, differences)) < 1e-3
    names = {file.name for file in path.parent.iterdir()}
    assert names == {'small.onnx', 'small.json', 'small.tokenizer.json'}
    assert last.startswith(f'{path} (') and 'small.tokenizer.json' in last


def test_command_names_what_is_wrong(files, run_export, capsys, tmp_path):
    config, checkpoint = files
    cfg = Config.fromfile(config)
    cfg.test_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile')]
    cfg.dump(tmp_path / 'no_resize.py')
    for args, message in (
        ((tmp_path / 'no.py', checkpoint), 'no.py'),
        ((config, tmp_path / 'no.pth'), 'no.pth'),
        ((config, checkpoint, '--out', tmp_path / 'x.txt'), 'x.txt must end in'),
        ((tmp_path / 'no_resize.py', checkpoint), '--shape'),
    ):
        with pytest.raises(SystemExit, match=message):
            run_export(*args)
    for shape in ((31,), (64, 64, 64)):
        with pytest.raises(SystemExit):
            run_export(*files, '--shape', *shape)
        assert '32 pixels or more' in capsys.readouterr().err
