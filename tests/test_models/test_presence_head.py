# SPDX-License-Identifier: Apache-2.0
"""The presence head: loss, gradients, score, threshold, and the runs that use them."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcadformer.apis import ReferringInferencer
from mmcadformer.synthrs import generate_synthrs

EXPRESSIONS = ['the red tennis court', 'both pools on the far left side']
PWAM = dict(type='ReferringSwin', fusion=dict(type='PWAM'), text_output=False)


def with_head(cfg, **presence):
    cfg['decode_head']['presence'] = presence
    return cfg


def method(cfg, name):
    """CADFormer, or LAVT, which refines no text and whose decoder reads none."""
    if name == 'lavt':
        cfg['backbone'].update(PWAM)
        cfg['decode_head'].update(type='ReferringDecodeHead', text_levels=())
        cfg.pop('neck')
    return cfg


def without_targets(samples, *indices):
    for index in indices:
        samples[index].gt_sem_seg.data.zero_()
    return samples


@pytest.mark.parametrize('name', ['cadformer', 'lavt'])
def test_every_parameter_learns_in_every_method(
    build_model, make_samples, tiny_cfg, name
):
    model = build_model(with_head(method(tiny_cfg, name)))
    assert model.backbone.text_output  # set by the option
    samples = without_targets(make_samples(EXPRESSIONS), 1)
    losses = model(torch.randn(2, 3, 64, 64), samples, mode='loss')
    assert losses['decode.loss_presence'] > 0
    total = sum(value for name, value in losses.items() if 'loss' in name)
    total.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_samples_without_a_target_carry_no_mask_loss(
    build_model, make_samples, tiny_cfg
):
    model = build_model(with_head(tiny_cfg)).eval()  # no statistics between samples
    images = torch.randn(2, 3, 64, 64)
    absent = model(images, without_targets(make_samples(EXPRESSIONS), 0, 1), 'loss')
    assert absent['decode.loss_ce'] == absent['decode.loss_dice'] == 0
    model.decode_head.conv_seg.zero_grad()
    (absent['decode.loss_ce'] + absent['decode.loss_dice']).backward(retain_graph=True)
    assert not model.decode_head.conv_seg.weight.grad.any()
    half = model(images, without_targets(make_samples(EXPRESSIONS), 1), 'loss')
    both = model(images, make_samples(EXPRESSIONS), 'loss')
    assert 0 < half['decode.loss_ce'] < both['decode.loss_ce']
    # beside the reference of the loss itself
    tokens = model.text_encoder.tokenize(EXPRESSIONS)
    logits = model.decode_with_presence(images, **tokens)[1].double()
    truth = torch.tensor([1.0, 0.0], dtype=torch.double)
    value = -(truth * logits.sigmoid().log() + (1 - truth) * (-logits).sigmoid().log())
    expected = 0.5 * value.mean().item()
    assert float(half['decode.loss_presence']) == pytest.approx(expected, rel=1e-4)


def test_without_the_option_nothing_changes(build_model, make_samples, tiny_cfg):
    model = build_model(tiny_cfg)
    assert not [name for name in model.state_dict() if 'presence' in name]
    samples = without_targets(make_samples(EXPRESSIONS), 0, 1)
    losses = model(torch.randn(2, 3, 64, 64), samples, mode='loss')
    assert losses['decode.loss_ce'] > 0  # masks of nothing are learned
    with torch.no_grad():
        (result, _) = model.eval()(torch.randn(2, 3, 64, 64), samples, mode='predict')
    assert 'presence_score' not in result


@pytest.mark.parametrize('mode', ['whole', 'slide'])
def test_scores_of_pictures_and_of_their_windows(
    build_model, make_samples, tiny_cfg, mode
):
    if mode == 'slide':
        tiny_cfg['test_cfg'] = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
    model = build_model(with_head(tiny_cfg)).eval()
    model.decode_head.presence.threshold.fill_(0.3)
    size = (64, 96)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        results = model(images, make_samples(EXPRESSIONS, size), mode='predict')
        tokens = model.text_encoder.tokenize(EXPRESSIONS)
        parts = [images] if mode == 'whole' else [images[..., :64], images[..., 32:]]
        scores = [model.decode_with_presence(p, **tokens)[1].sigmoid() for p in parts]
    expected = torch.stack(scores).amax(dim=0)
    for result, score in zip(results, expected, strict=True):
        torch.testing.assert_close(result.presence_score, score)
        assert float(result.presence_threshold) == pytest.approx(0.3)


def test_padding_changes_no_score(build_model, tiny_cfg):
    model = build_model(with_head(tiny_cfg)).eval()
    images = torch.randn(1, 3, 64, 64)
    tokens = model.text_encoder.tokenize(EXPRESSIONS[:1])
    padded = {
        'input_ids': torch.nn.functional.pad(tokens['input_ids'], (0, 9), value=7),
        'text_mask': torch.nn.functional.pad(tokens['text_mask'], (0, 9)),
    }
    with torch.no_grad():
        first, second = (
            model.decode_with_presence(images, **t)[1] for t in (tokens, padded)
        )
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-5)


def test_from_training_to_the_decision_on_a_picture(repo_root, tmp_path, run_tool):
    """Validation's threshold is stored with the weights and decides in inference."""
    root = tmp_path / 'data'
    options = dict(several=0.3, none=0.4, difficulty='generalised', image_size=64)
    generate_synthrs(root, dict(train=6, val=8, test=4), progress=False, **options)
    cfg = Config.fromfile(repo_root / 'tests/data/tiny.py')
    generalised = Config.fromfile(
        repo_root / 'configs/cadformer_tiny_synthrs_generalised.py'
    )
    for key in ('val_evaluator', 'test_evaluator', 'custom_hooks'):
        cfg[key] = generalised[key]
    cfg.model.decode_head.presence = generalised.model.decode_head.presence
    cfg.default_hooks.checkpoint.save_best = 'gIoU'
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = str(root)
    cfg.train_cfg.max_epochs = 1
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'run'), 'presence'
    runner = Runner.from_cfg(cfg)
    runner.train()
    threshold = float(runner.model.decode_head.presence.threshold)
    assert threshold != 0.5
    (best,) = (tmp_path / 'run').glob('best_gIoU_epoch_1.pth')
    weights = torch.load(best, weights_only=False)['state_dict']
    assert float(weights['decode_head.presence.threshold']) == threshold
    metrics = runner.test()
    assert {'gIoU', 'cIoU', 'N-acc', 'T-acc', 'AUROC'} <= metrics.keys()
    path = tmp_path / 'config.py'
    cfg.dump(path)
    inferencer = ReferringInferencer(path, best, device='cpu')
    image = next((root / 'images').rglob('*.jpg'))
    head = inferencer.model.decode_head.presence
    results = inferencer(str(image), EXPRESSIONS)
    assert [r.presence.threshold for r in results] == 2 * [pytest.approx(threshold)]
    for limit, found in ((0.0, True), (1.0, False)):
        head.threshold.fill_(limit)
        (result,) = inferencer(str(image), EXPRESSIONS[0])
        assert result.presence.found == found
        if not found:
            assert not result.mask.any() and result.score == 0
            assert result.probability.any()
        record = json.loads(json.dumps(result.record()))
        assert record['presence']['found'] == found
    np.testing.assert_allclose(results[0].presence.score, result.presence.score, 1e-5)
