# SPDX-License-Identifier: Apache-2.0
"""Pixels to be ignored count in no loss of any config."""

import pytest
import torch
from mmengine.config import Config
from mmseg.models.losses import CrossEntropyLoss, accuracy
from mmseg.models.losses.dice_loss import DiceLoss

from mmcadformer.models import MaskedCrossEntropyLoss, MaskedDiceLoss
from mmcadformer.models.losses import pixel_accuracy

HOST_DICE = dict(use_sigmoid=False, naive_dice=True, ignore_index=0)


@pytest.mark.parametrize(
    'keys',
    [
        HOST_DICE,
        dict(use_sigmoid=False),
        dict(use_sigmoid=True, loss_weight=0.3, reduction='sum'),
        dict(activate=False, naive_dice=True, eps=1.0),
    ],
)
def test_without_ignored_pixels_it_is_the_hosts_loss(keys):
    logits, labels = torch.randn(3, 2, 16, 16), torch.randint(0, 2, (3, 16, 16))
    expected = DiceLoss(**keys)(logits, labels)
    assert torch.equal(MaskedDiceLoss(**keys)(logits, labels), expected)


@pytest.mark.parametrize('ignored', [0, 5])
@pytest.mark.parametrize(
    'keys',
    [
        dict(),
        dict(loss_weight=0.3, reduction='sum'),
        dict(avg_non_ignore=True),
        dict(class_weight=[0.9, 1.1]),
    ],
)
def test_cross_entropy_is_the_hosts(keys, ignored):
    logits, labels = torch.randn(3, 2, 16, 16), torch.randint(0, 2, (3, 16, 16))
    labels[:, :ignored] = 255
    loss, host = MaskedCrossEntropyLoss(**keys), CrossEntropyLoss(**keys)
    given = dict(ignore_index=255)
    torch.testing.assert_close(
        loss(logits, labels, **given), host(logits, labels, **given)
    )
    given['weight'] = torch.rand(3, 16, 16)
    torch.testing.assert_close(
        loss(logits, labels, **given), host(logits, labels, **given)
    )


def test_cross_entropy_by_hand():
    """Classes weigh differently, and a pixel is ignored."""
    logits = torch.randn(1, 2, 1, 3, dtype=torch.double)
    labels = torch.tensor([[[0, 255, 1]]])
    loss = MaskedCrossEntropyLoss(class_weight=[0.9, 1.1], avg_non_ignore=True)
    p = logits.softmax(dim=1)[0, :, 0]
    expected = -(0.9 * p[0, 0].log() + 1.1 * p[1, 2].log()) / 2.0
    found = loss.double()(logits, labels, ignore_index=255)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_weights_of_classes_are_not_in_checkpoints():
    assert not MaskedCrossEntropyLoss(class_weight=[0.9, 1.1]).state_dict()


@pytest.mark.parametrize('classes', [2, 3])
@pytest.mark.parametrize('ignored', [0, 5, 16])
def test_accuracy_is_the_hosts(classes, ignored):
    logits = torch.randn(3, classes, 16, 16)
    labels = torch.randint(0, classes, (3, 16, 16))
    labels[:, :ignored] = 255
    expected = accuracy(logits, labels, ignore_index=255)
    found = pixel_accuracy(logits, labels, 255)
    torch.testing.assert_close(found, expected.squeeze())


@pytest.mark.parametrize('keys', [HOST_DICE, dict(use_sigmoid=False)])
def test_it_is_the_hosts_loss_on_the_pixels_that_count(keys):
    logits, labels = torch.randn(3, 2, 16, 16), torch.randint(0, 2, (3, 16, 16))
    labels[:, :5] = 255
    expected = DiceLoss(**keys)(logits[:, :, 5:], labels[:, 5:])
    torch.testing.assert_close(MaskedDiceLoss(**keys)(logits, labels), expected)


@pytest.mark.parametrize(
    'name', ['cadformer_swinb_rrsisd', 'cadformer_tiny_synthrs', 'rmsin_swinb_rrsisd']
)
def test_losses_of_the_configs(build_model, make_samples, tiny_cfg, name):
    cfg = Config.fromfile(f'configs/{name}.py')
    _check(build_model, make_samples, tiny_cfg, cfg.model.decode_head.loss_decode)


@pytest.mark.parametrize(
    'losses',
    [
        [dict(type='DiceLoss', loss_name='loss_dice', **HOST_DICE)],
        dict(type='mmseg.DiceLoss', use_sigmoid=False),
        dict(type='CrossEntropyLoss', class_weight=[0.9, 1.1]),
        dict(type='CrossEntropyLoss', use_sigmoid=True),
        [dict(type='LovaszLoss', reduction='none'), dict(type='TverskyLoss')],
    ],
)
def test_losses_of_the_host(build_model, make_samples, tiny_cfg, losses):
    _check(build_model, make_samples, tiny_cfg, losses)


def _check(build_model, make_samples, tiny_cfg, losses):
    tiny_cfg['decode_head']['loss_decode'] = losses
    head = build_model(tiny_cfg).decode_head
    samples = make_samples(['a', 'b'])
    ignored = torch.zeros(2, 64, 64, dtype=torch.bool)
    ignored[:, 20:40, 10:50] = True
    for sample, where in zip(samples, ignored, strict=True):
        sample.gt_sem_seg.data[:, where] = 255
    logits = torch.randn(2, 2, 64, 64, requires_grad=True)
    found = head.loss_by_feat(logits, samples)
    sum(value for key, value in found.items() if key.startswith('loss')).backward()
    size = logits.grad.abs().sum(dim=1)
    assert size[~ignored].max() > 0
    assert size[ignored].max() == 0
