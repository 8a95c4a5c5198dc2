# SPDX-License-Identifier: Apache-2.0
"""The model as a scene's network, against inference on single images."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

pytest.importorskip('rasterio', reason='needs the geo extra')

from mmcadformer.apis import ReferringInferencer, init_model, predict_expressions
from mmcadformer.scene import ModelNetwork, SceneSegmentor, Tiling

SENTENCES = ['the left pool', 'it', 'a red court above the large white tank', 'it']


@pytest.fixture(scope='module')
def model(tiny_config, tiny_checkpoint):
    return init_model(tiny_config, tiny_checkpoint, 'cpu')


@pytest.fixture(scope='module')
def inferencer(tiny_config, tiny_checkpoint):
    return ReferringInferencer(tiny_config, tiny_checkpoint, 'cpu')


@pytest.mark.parametrize('pairs', [1, 3, 8])
def test_answers_are_those_for_single_images(model, inferencer, blobs, pairs):
    tiles = [blobs(90, 90, seed) for seed in range(3)]
    answers = ModelNetwork(model, pairs)(tiles, SENTENCES)
    assert answers.shape == (3, 4, 90, 90) and answers.dtype == np.float32
    for tile, maps in zip(tiles, answers, strict=True):
        singles = inferencer(tile, SENTENCES)
        for single, map_ in zip(singles, maps, strict=True):
            assert np.abs(single.probability - map_).max() < 1e-5


def test_first_stage_runs_once_per_image(model, monkeypatch):
    seen = []
    original = type(model.backbone).forward_first_stage

    def counted(self, x):
        seen.append(len(x))
        return original(self, x)

    monkeypatch.setattr(type(model.backbone), 'forward_first_stage', counted)
    tiles = [np.zeros((64, 64, 3), np.uint8)] * 2
    for pairs in (1, 4):
        seen.clear()
        ModelNetwork(model, pairs)(tiles, SENTENCES)
        assert seen == [1, 1]
    ModelNetwork(model, 4)(tiles, SENTENCES[:1])
    assert seen == [1, 1, 2]


def test_backbones_without_a_separate_first_stage_work_too(model):
    samples = ModelNetwork(model)._prepared(np.zeros((64, 64, 3), np.uint8), 'it')
    data = model.data_preprocessor(
        dict(inputs=[samples['inputs']], data_samples=[samples['data_samples']])
    )
    whole = Whole(model.backbone)
    plain = init_model(model.cfg, device='cpu')
    plain.load_state_dict(model.state_dict())
    plain.backbone = whole
    with torch.inference_mode():
        shared, separate = (
            [
                sample.seg_logits.data
                for sample in predict_expressions(
                    m, data['inputs'], data['data_samples'], SENTENCES, 3
                )
            ]
            for m in (model, plain)
        )
    for one, other in zip(shared, separate, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


class Whole(torch.nn.Module):
    """A backbone that shows nothing of its stages."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, text, text_mask):
        return self.inner(x, text, text_mask)


def test_a_scene_as_large_as_a_tile_is_an_image(
    model, inferencer, make_scene, blobs, read, tmp_path
):
    picture = blobs(80, 80)
    segmentor = SceneSegmentor(ModelNetwork(model), Tiling((80,)))
    segmentor(make_scene(picture), SENTENCES[:2], tmp_path / 'out', progress=False)
    for number, result in enumerate(inferencer(picture, SENTENCES[:2]), start=1):
        mask = read(tmp_path / f'out/scene_{number:02d}_mask.tif')
        sure = np.abs(result.probability - 0.5) > 1e-3
        assert np.array_equal(mask[sure] == 1, result.mask[sure])
        found = read(tmp_path / f'out/scene_{number:02d}_probability.tif') / 254
        assert np.abs(found - result.probability).max() < 0.002 + 1e-5


def test_missing_pixels_become_what_the_model_takes_for_zero(model):
    assert ModelNetwork(model).fill == (124, 116, 104)


def test_fingerprints_tell_networks_apart(model, tiny_config):
    first = ModelNetwork(model).fingerprint()
    assert first == ModelNetwork(model, pairs=8).fingerprint()
    assert first != ModelNetwork(model, amp='bf16').fingerprint()
    assert first != ModelNetwork(init_model(tiny_config, device='cpu')).fingerprint()


def test_mixed_precision_is_close(model, blobs):
    tiles = [blobs(64, 64)]
    full = ModelNetwork(model)(tiles, ['it'])
    mixed = ModelNetwork(model, amp='bf16')(tiles, ['it'])
    assert 0 < np.abs(full - mixed).max() < 0.05


def test_long_expressions_are_read_in_part_and_said_so(model, blobs, caplog):
    network = ModelNetwork(model)
    tiles = [blobs(64, 64)]
    text = 'the large pool ' * 700
    answers = network(tiles, [text, 'it'])
    network(tiles, [text])
    start = ' '.join(text.split()[:38])
    assert np.abs(answers[0, 0] - network(tiles, [start])[0, 0]).max() < 1e-6
    warnings = [r for r in caplog.records if 'longer than' in r.getMessage()]
    assert len(warnings) <= 1


@pytest.mark.parametrize(
    'options, word', [(dict(pairs=0), 'batch size'), (dict(amp='int8'), 'int8')]
)
def test_options_are_checked(model, options, word):
    with pytest.raises(ValueError, match=word):
        ModelNetwork(model, **options)


def test_a_foreign_calibration_is_mentioned(
    model, make_scene, blobs, tmp_path, monkeypatch
):
    import json

    from mmcadformer.scene import segmentor
    from mmcadformer.scene.presence import DEFINITION

    said = []
    monkeypatch.setattr(segmentor, 'warn', said.append)
    network = ModelNetwork(model)
    content = dict(threshold=0.3, score=DEFINITION, network=network.fingerprint())
    file = tmp_path / 'presence.json'
    file.write_text(json.dumps(content))
    assert SceneSegmentor(network, presence=file).presence == 0.3 and not said
    file.write_text(json.dumps(dict(content, network='another')))
    assert SceneSegmentor(network, presence=file).presence == 0.3
    assert 'another checkpoint' in said[0]


def test_a_presence_head_gates_tiles(repo_root, make_scene, blobs, tmp_path):
    """By its own score and the threshold that is stored with the weights."""
    cfg = Config.fromfile(repo_root / 'tests/data/tiny.py')
    cfg.model.decode_head.presence = dict()
    model = init_model(cfg, device='cpu')
    network = ModelNetwork(model, pairs=2)
    assert network.threshold == 0.5
    tiles = [blobs(64, 64, seed) for seed in range(3)]
    network(tiles, SENTENCES[:2])
    singles = ReferringInferencer(cfg, device='cpu')
    singles.model.load_state_dict(model.state_dict())
    for tile, scores in zip(tiles, network.scores, strict=True):
        expected = [result.presence.score for result in singles(tile, SENTENCES[:2])]
        np.testing.assert_allclose(scores, expected, rtol=1e-4)
    scene = make_scene(np.concatenate(tiles[:2], axis=1))
    scores = network.scores[:2, 0]
    for name, limit, count in (
        ('none', 1.0, 0),
        ('one', scores.mean(), 1),
        ('all', 0.0, 2),
    ):
        model.decode_head.presence.threshold.fill_(limit)
        segmentor = SceneSegmentor(ModelNetwork(model), Tiling((64,), 0.0))
        assert segmentor.presence == pytest.approx(limit)
        result = segmentor(scene, SENTENCES[0], tmp_path / name, progress=False)
        (record,) = result.summary['expressions']
        assert (record['tiles'], record['tiles_with_object']) == (2, count)
    stated = SceneSegmentor(ModelNetwork(model), Tiling((64,)), presence=0.7)
    assert stated.presence == 0.7
