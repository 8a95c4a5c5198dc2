# SPDX-License-Identifier: Apache-2.0
"""The whole network through its public modes."""

import copy

import pytest
import torch
from mmseg.models import EncoderDecoder

EXPRESSIONS = ['the red tennis court', 'a pool on the far left side of the road']


def logits_of(model, images, expressions):
    with torch.no_grad():
        return model(images, **model.text_encoder.tokenize(expressions))


def test_loss_predict_and_tensor_modes(build_model, make_samples, tiny_cfg):
    model = build_model(tiny_cfg)
    images = torch.randn(2, 3, 64, 64)
    samples = make_samples(EXPRESSIONS, ori_shape=(100, 80))
    losses = model(images, samples, mode='loss')
    assert set(losses) == {'decode.loss_ce', 'decode.loss_dice', 'decode.acc_seg'}
    model.eval()
    with torch.no_grad():
        results = model(images, samples, mode='predict')
        logits = model(images, samples, mode='tensor')
    assert logits.shape == (2, 2, 16, 16)
    torch.testing.assert_close(logits, logits_of(model, images, EXPRESSIONS))
    for sample in results:
        assert sample.seg_logits.data.shape == (2, 100, 80)
        assert sample.pred_sem_seg.data.shape == (1, 100, 80)
        assert sample.pred_input_seg.data.shape == (1, 64, 64)
        assert torch.equal(
            sample.pred_sem_seg.data[0], sample.seg_logits.data.argmax(dim=0)
        )


@pytest.mark.parametrize('size', [(64, 64), (70, 50), (33, 97)])
def test_any_image_size(build_model, make_samples, tiny_cfg, size):
    model = build_model(tiny_cfg).eval()
    samples = make_samples(EXPRESSIONS[:1], size=size)
    with torch.no_grad():
        result = model(torch.randn(1, 3, *size), samples, mode='predict')[0]
    assert result.pred_sem_seg.data.shape == (1, *size)


def test_padding_and_batch_composition_change_no_logit(build_model, tiny_cfg):
    model = build_model(tiny_cfg).eval()
    images = torch.randn(2, 3, 64, 64)
    together = logits_of(model, images, EXPRESSIONS)
    for i in range(2):
        alone = logits_of(model, images[i : i + 1], EXPRESSIONS[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-3, atol=1e-5)
    tokens = model.text_encoder.tokenize(EXPRESSIONS[:1])
    padded = {
        'input_ids': torch.nn.functional.pad(tokens['input_ids'], (0, 9), value=7),
        'text_mask': torch.nn.functional.pad(tokens['text_mask'], (0, 9)),
    }
    with torch.no_grad():
        torch.testing.assert_close(
            model(images[:1], **padded), together[:1], rtol=1e-3, atol=1e-5
        )


def test_the_expression_matters(build_model, tiny_cfg):
    model = build_model(tiny_cfg).eval()
    image = torch.randn(1, 3, 64, 64)
    first, second = (logits_of(model, image, [text]) for text in EXPRESSIONS)
    assert (first - second).abs().max() > 1e-4


@pytest.mark.parametrize(
    'change',
    [
        {},
        {'neck': None},
        {'backbone.lgvla': False},
        {'backbone.vglva': False},
        {'backbone.lgvla': False, 'backbone.vglva': False},
        {'backbone.fusion_norm': False},
        {'decode_head.rotated': False},
        {'decode_head.text_levels': (), 'backbone.text_output': False},
    ],
    ids=str,
)
def test_gradient_reaches_every_parameter(build_model, make_samples, tiny_cfg, change):
    for key, value in change.items():
        part, _, name = key.partition('.')
        if name:
            tiny_cfg[part][name] = value
        else:
            tiny_cfg[part] = value
    model = build_model(tiny_cfg)
    losses = model(torch.randn(2, 3, 64, 64), make_samples(EXPRESSIONS), mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    dead = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all()
    ]
    assert not dead
    parameters = [p for _, p in model.named_parameters(remove_duplicate=False)]
    assert len(parameters) == len({id(p) for p in parameters})


def test_gradients_are_not_zero_by_construction(build_model, make_samples, tiny_cfg):
    """Biases in front of a norm may have none; every weight matrix must have some."""
    model = build_model(tiny_cfg)
    losses = model(torch.randn(2, 3, 64, 64), make_samples(EXPRESSIONS), mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    embeddings = ('position_embeddings', 'token_type_embeddings')
    zero = [
        name
        for name, p in model.named_parameters()
        if p.ndim > 1 and p.grad.abs().max() == 0 and not name.endswith(embeddings)
    ]
    assert not zero


def test_weights_round_trip(build_model, tiny_cfg, tmp_path):
    model = build_model(copy.deepcopy(tiny_cfg)).eval()
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    other = build_model(tiny_cfg).eval()
    for p in other.parameters():
        p.data.normal_()
    other.load_state_dict(torch.load(tmp_path / 'weights.pth', weights_only=True))
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(
        logits_of(model, image, EXPRESSIONS[:1]),
        logits_of(other, image, EXPRESSIONS[:1]),
    )


def test_sample_without_expression_is_refused(build_model, make_samples, tiny_cfg):
    model = build_model(tiny_cfg)
    samples = make_samples(EXPRESSIONS)
    for sample in samples:
        del sample.expression
    with pytest.raises(ValueError, match='no expression in the meta information'):
        model(torch.randn(2, 3, 64, 64), samples, mode='loss')


@pytest.mark.parametrize(
    ('part', 'key', 'value', 'message'),
    [
        ('backbone', 'text_channels', 24, 'text encoder gives 32 channels'),
        ('backbone', 'text_output', False, 'backbone.text_output=True'),
        ('decode_head', 'out_channels', 1, 'decode_head.out_channels=1: it must be 2'),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    build_model, tiny_cfg, part, key, value, message
):
    tiny_cfg[part][key] = value
    with pytest.raises(ValueError, match=message):
        build_model(tiny_cfg)


@pytest.mark.parametrize(
    'meta',
    [
        {},
        dict(padding_size=(1, 5, 2, 8)),
        dict(img_padding_size=(0, 3, 0, 0), padding_size=(9, 9, 9, 9)),
        dict(flip=True, flip_direction='horizontal'),
        dict(flip=True, flip_direction='vertical'),
        None,
    ],
)
def test_results_are_laid_out_as_the_host_does(
    build_model, make_samples, tiny_cfg, meta
):
    model = build_model(tiny_cfg)
    logits = torch.randn(2, 2, 40, 32)
    samples, expected = None, None
    if meta is not None:
        samples = make_samples(EXPRESSIONS, ori_shape=(50, 70))
        for sample in samples:
            sample.set_metainfo(meta)
        expected = copy.deepcopy(samples)
    expected = EncoderDecoder.postprocess_result(model, logits, expected)
    results = model.postprocess_result(logits, samples)
    for one, other, own in zip(results, expected, logits, strict=True):
        for name in ('seg_logits', 'pred_sem_seg'):
            found, truth = getattr(one, name).data, getattr(other, name).data
            assert found.dtype == truth.dtype and torch.equal(found, truth)
        assert torch.equal(one.pred_input_seg.data[0], own.argmax(dim=0).byte())


def test_mixed_precision_stays_finite(build_model, tiny_cfg):
    model = build_model(tiny_cfg).eval()
    image = torch.randn(1, 3, 64, 64)
    expected = logits_of(model, image, EXPRESSIONS[:1])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = logits_of(model, image, EXPRESSIONS[:1])
    assert (mixed.float() - expected).abs().max() < 0.1
