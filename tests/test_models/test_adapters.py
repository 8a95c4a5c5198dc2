# SPDX-License-Identifier: Apache-2.0
"""Low-rank adapters, in environments that have peft (see test_hosts_extra.py)."""

import copy
import importlib.util
import os

import pytest
import torch
from mmengine.registry import init_default_scope

from mmcadformer.models import BertTextEncoder, ReferringBackbone
from mmcadformer.models.layers.adapters import merge_adapters

MISSING = importlib.util.find_spec('peft') is None
pytestmark = pytest.mark.skipif(
    MISSING and not os.environ.get('MMCADFORMER_NEED_HOSTS'),
    reason='peft is not installed',
)
SWIN = dict(
    type='SwinTransformer',
    embed_dims=8,
    depths=(1, 1, 1, 1),
    num_heads=(1, 1, 2, 2),
    window_size=4,
    drop_path_rate=0.0,
)
LORA = dict(rank=2, alpha=4, target_modules=['qkv', 'proj'])
SMALL = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
)


def backbone(**kwargs):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    args = dict(host=dict(SWIN), fusion=dict(type='SMGAM'), text_channels=8)
    return ReferringBackbone(**args, **kwargs).eval()


def encoder(**kwargs):
    torch.manual_seed(0)
    args = dict(pretrained=None, vocab='remote_sensing', config=SMALL)
    return BertTextEncoder(**args, **kwargs).eval()


INPUTS = torch.ones(2, 3, 32, 32), torch.ones(2, 4, 8), torch.ones(2, 4) > 0


def test_only_adapters_of_the_host_train_and_weights_load_as_before():
    plain, adapted = backbone(), backbone(lora=LORA)
    trained = {n for n, p in adapted.host.named_parameters() if p.requires_grad}
    # Attention's two linear layers in each of four blocks, two matrices each.
    assert len(trained) == 16 and all('lora_' in name for name in trained)
    assert all(p.requires_grad for p in adapted.fusions.parameters())
    result = adapted.load_state_dict(plain.state_dict(), strict=False)
    assert not result.unexpected_keys
    assert all('lora_' in name for name in result.missing_keys)
    with torch.no_grad():
        for one, other in zip(plain(*INPUTS)[0], adapted(*INPUTS)[0], strict=True):
            assert torch.equal(one, other)
    maps, text = adapted(*INPUTS)
    sum(m.square().sum() for m in (*maps, text)).backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)


@torch.no_grad()
@pytest.mark.parametrize('make', [backbone, encoder])
def test_merged_adapters_change_no_result(make):
    targets = (
        LORA if make is backbone else dict(LORA, target_modules=['query', 'value'])
    )
    adapted = make(lora=targets)
    for name, parameter in adapted.named_parameters():
        if 'lora_B' in name:
            parameter.normal_()
    merged = copy.deepcopy(adapted)
    count = merge_adapters(merged)
    assert count == (8 if make is backbone else 4)
    assert merged.state_dict().keys() == make().state_dict().keys()
    if make is backbone:
        results = [m(*INPUTS)[0][-1] for m in (adapted, merged, make())]
    else:
        tokens = adapted.tokenize(['the red court', 'a pool'])
        results = [m(**tokens) for m in (adapted, merged, make())]
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(results[2], results[0], atol=1e-3)


@pytest.mark.parametrize(
    ('lora', 'message'),
    [
        (dict(LORA, r=3), "unknown: \\['r'\\]"),
        (dict(rank=2), "missing: \\['target_modules'\\]"),
        (dict(LORA, target_modules=['nowhere']), 'nowhere'),
    ],
)
def test_keys_that_are_wrong_are_refused(lora, message):
    with pytest.raises(ValueError, match=message):
        backbone(lora=lora)


def test_adapters_and_trainable_layers_contradict():
    with pytest.raises(ValueError, match='lora'):
        encoder(lora=LORA, trainable=1)
