# SPDX-License-Identifier: Apache-2.0
"""Pixels to be ignored count in no loss of any config."""

import pytest
import torch
from mmengine.config import Config
from mmseg.models.losses.dice_loss import DiceLoss

from mmcadformer.models import MaskedDiceLoss

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
