# SPDX-License-Identifier: Apache-2.0
"""Which word pulled which region, through the public entry points."""

import json

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from torch import nn

from mmcadformer.apis import ReferringInferencer

SENTENCE = "the Tennis-court's left neighbouring swimmingpool"


@pytest.fixture(scope='module')
def image(tiny_data):
    return sorted((tiny_data / 'images/synthrs/JPEGImages').glob('*test*'))[0]


@pytest.fixture(scope='module')
def inferencer(tiny_config, tiny_checkpoint):
    return ReferringInferencer(tiny_config, tiny_checkpoint, device='cpu')


@pytest.fixture(scope='module')
def explanation(inferencer, image):
    return inferencer.explain(image, f' {SENTENCE} ')


def test_words_are_those_of_the_sentence(explanation, inferencer):
    words = "the Tennis - court ' s left neighbouring swimmingpool".split()
    assert explanation.words == ['[CLS]', *words, '[SEP]']
    tokens = inferencer.model.text_encoder.tokenize([SENTENCE])['input_ids'].shape[1]
    assert tokens > len(explanation.words)  # some words have several pieces


def test_shares_add_up(explanation):
    assert [entry.stage for entry in explanation.stages] == [1, 2, 3, 4]
    for entry, side in zip(explanation.stages, (16, 8, 4, 2), strict=True):
        shape = (len(explanation.words), side, side)
        assert entry.pixels_to_words.shape == entry.words_to_pixels.shape == shape
        assert np.allclose(entry.pixels_to_words.sum(axis=0), 1, atol=1e-5)
        assert np.allclose(entry.words_to_pixels.sum(axis=(1, 2)), 1, atol=1e-5)


def test_share_of_the_image_in_padded_maps(tiny_config, image):
    """72 x 88 pixels in cells of 4, 8, 16 and 32."""
    cfg = Config.fromfile(tiny_config)
    for transform in cfg.test_dataloader.dataset.pipeline:
        if transform['type'] == 'Resize':
            transform['scale'] = (88, 72)
    cfg.model.data_preprocessor.test_cfg = dict(size=(96, 96))
    explanation = ReferringInferencer(cfg, device='cpu').explain(image, 'pool')
    maps = [entry.pixels_to_words.shape[1:] for entry in explanation.stages]
    assert maps == [(24, 24), (12, 12), (6, 6), (3, 3)]
    del cfg.model.data_preprocessor.test_cfg
    padded = explanation.stages
    explanation = ReferringInferencer(cfg, device='cpu').explain(image, 'pool')
    maps = [entry.pixels_to_words.shape[1:] for entry in explanation.stages]
    assert maps == [(18, 22), (9, 11), (5, 6), (3, 3)]
    for stages, expected in (
        (padded, [(0.75, 88 / 96)] * 4),
        (explanation.stages, [(1, 1), (1, 1), (0.9, 88 / 96), (0.75, 88 / 96)]),
    ):
        shares = [entry.image_share for entry in stages]
        assert np.allclose(shares, expected)


def test_result_is_the_ordinary_one(explanation, inferencer, image):
    (plain,) = inferencer(image, SENTENCE)
    assert np.array_equal(plain.probability, explanation.result.probability)
    assert not inferencer.model.backbone.fusions[0]._forward_pre_hooks


def test_each_word_has_its_own_map(explanation):
    maps = explanation.stages[0].pixels_to_words
    left, court = explanation.words.index('left'), explanation.words.index('court')
    assert not np.allclose(maps[left], maps[court])
    # One word's map is not another's, and places differ.
    assert maps[left].std() > 0


def test_long_sentences_end_where_the_model_stops_reading(inferencer, image):
    explanation = inferencer.explain(image, 'pool ' * 80)
    limit = inferencer.model.text_encoder.max_tokens
    assert explanation.words == ['[CLS]', *['pool'] * (limit - 2), '[SEP]']


def test_reading_the_words_counts_no_truncation(inferencer):
    encoder = inferencer.model.text_encoder
    before = encoder.num_truncated, encoder.num_expressions
    encoder.split_words('pool ' * 80)
    assert (encoder.num_truncated, encoder.num_expressions) == before


def test_models_without_one_side_show_the_other(tiny_config, image):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.vglva = False
    explanation = ReferringInferencer(cfg, device='cpu').explain(image, 'pool')
    assert all(entry.words_to_pixels is None for entry in explanation.stages)
    assert all(entry.pixels_to_words is not None for entry in explanation.stages)
    cfg.model.backbone.lgvla = False
    with pytest.raises(ValueError, match='no attention between words and pixels'):
        ReferringInferencer(cfg, device='cpu').explain(image, 'pool')


class OwnBackbone(nn.Module):
    """Computes what another does, and has but some of its parts."""

    def __init__(self, inner, **parts):
        super().__init__()
        self.forward = inner.forward
        for name, part in parts.items():
            setattr(self, name, part)


@pytest.mark.parametrize('parts', [(), ('fusions',), ('fusions', 'stages')])
def test_backbones_built_otherwise_are_refused(tiny_config, image, parts):
    inferencer = ReferringInferencer(tiny_config, device='cpu')
    model = inferencer.model
    inner = model.backbone
    model.backbone = OwnBackbone(
        inner, **{name: getattr(inner, name) for name in parts}
    )
    (result,) = inferencer(image, 'pool')
    with pytest.raises(ValueError, match='no attention between words and pixels to sh'):
        inferencer.explain(image, 'pool')
    (again,) = inferencer(image, 'pool')
    assert np.array_equal(result.probability, again.probability)


def test_fusions_of_another_kind_are_refused(tiny_config, image):
    """They need not be able to tell what they look at."""
    inferencer = ReferringInferencer(tiny_config, device='cpu')
    inferencer.model.backbone.fusions[1] = nn.Identity()
    with pytest.raises(ValueError, match='no attention between words and pixels to sh'):
        inferencer.explain(image, 'pool')


def test_command_writes_picture_and_numbers(
    tiny_config, tiny_checkpoint, image, fork_tool, tmp_path
):
    ended = fork_tool(
        'infer.py', image, 'the pool', '--config', tiny_config, '--checkpoint',
        tiny_checkpoint, '--explain', '--out-dir', 'out', cwd=tmp_path,
    ).wait()  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    report = json.loads((tmp_path / 'out/results.json').read_text())
    (record,) = report['results']
    picture = cv2.imread(str(tmp_path / 'out' / record['attention']))
    assert picture.shape[0] > 300 and picture.std() > 10
    data = np.load(tmp_path / 'out' / record['attention_data'])
    assert data['words'].tolist() == ['[CLS]', 'the', 'pool', '[SEP]']
    kinds = {'pixels_to_words', 'words_to_pixels'}
    names = {f'stage{stage}_{kind}' for stage in (1, 2, 3, 4) for kind in kinds}
    assert set(data.files) == names | {'words'}
    assert {'overlay', 'mask', 'score', 'expression'} <= record.keys()
