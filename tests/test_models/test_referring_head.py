# SPDX-License-Identifier: Apache-2.0
"""TCMD against Eqs. (10)-(12), and the decoders it is compared with."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from mmcadformer.models import ReferringDecodeHead, TCMDHead

CHANNELS = (4, 6, 8, 10)
ARGS = dict(in_channels=CHANNELS, channels=16, text_channels=12, num_heads=2,
            feedforward_channels=20)  # fmt: skip


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    levels = [
        torch.randn(2, c, 24 >> i, 16 >> i, dtype=torch.float64)
        for i, c in enumerate(CHANNELS)
    ]
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[0, 3:] = False
    return levels, torch.randn(2, 5, 12, dtype=torch.float64), mask


def attention(module, query, context, mask=None):
    """Multi-head attention by einsum from PyTorch's packed weights."""
    width, heads = module.embed_dim, module.num_heads
    wq, wk, wv = module.in_proj_weight.split(width)
    bq, bk, bv = module.in_proj_bias.split(width)
    q = (query @ wq.T + bq).unflatten(2, (heads, -1))
    k = (context @ wk.T + bk).unflatten(2, (heads, -1))
    v = (context @ wv.T + bv).unflatten(2, (heads, -1))
    weights = torch.einsum('bqhc,bkhc->bhqk', q, k) / (width // heads) ** 0.5
    weights = weights.exp()
    if mask is not None:
        weights = weights * mask[:, None, None]
    weights = weights / weights.sum(dim=-1, keepdim=True)
    out = torch.einsum('bhqk,bkhc->bqhc', weights, v).flatten(2)
    return out @ module.out_proj.weight.T + module.out_proj.bias


def layer_norm(module, x):
    x = x - x.mean(dim=-1, keepdim=True)
    x = x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    return x * module.weight + module.bias


def transformer(layer, x, text, mask):
    """The original (post-norm) Transformer decoder layer."""
    size = x.shape[2:]
    y = x.flatten(2).transpose(1, 2)
    y = layer_norm(layer.norm1, y + attention(layer.self_attn, y, y))
    y = layer_norm(layer.norm2, y + attention(layer.multihead_attn, y, text, mask))
    hidden = (y @ layer.linear1.weight.T + layer.linear1.bias).clamp(min=0)
    hidden = hidden @ layer.linear2.weight.T + layer.linear2.bias
    y = layer_norm(layer.norm3, y + hidden)
    return y.transpose(1, 2).reshape(x.shape[0], -1, *size)


def seg(block, x):
    bn = (1 + 1e-5) ** -0.5  # BatchNorm's running statistics at their start
    x = (F.conv2d(x, block[0].weight, padding=1) * bn).clamp(min=0)
    return (block[3](x) * bn).clamp(min=0)


def upsample_concat(y, level):
    y = F.interpolate(y, level.shape[2:], mode='bilinear', align_corners=True)
    return torch.cat([y, level], dim=1)


def test_tcmd_follows_equations_10_to_12(inputs):
    levels, text, mask = inputs
    head = TCMDHead(**ARGS).double().eval()
    memory = text @ head.text_proj.weight.T + head.text_proj.bias
    y = levels[3]
    for i in (3, 2):
        y = seg(head.seg_blocks[str(i)], upsample_concat(y, levels[i - 1]))
        y = transformer(head.text_layers[str(i)], y, memory, mask)
    y = seg(head.seg_blocks['1'], upsample_concat(y, levels[0]))
    expected = F.conv2d(y, head.conv_seg.weight, head.conv_seg.bias)
    torch.testing.assert_close(head(levels, text, mask), expected)


def test_padding_takes_no_part(inputs):
    levels, text, mask = inputs
    head = TCMDHead(**ARGS).double().eval()
    changed = text.clone()
    changed[0, 3:] = 1e3
    torch.testing.assert_close(head(levels, text, mask), head(levels, changed, mask))


@pytest.mark.parametrize('rotated', [True, False])
def test_decoders_without_text(inputs, rotated):
    head = ReferringDecodeHead(rotated=rotated, **ARGS).double().eval()
    assert not head.uses_text
    assert not hasattr(head, 'text_proj')
    assert head(inputs[0]).shape == (2, 2, 24, 16)


def test_standard_decoder_at_full_size_has_the_parameters_of_lavt():
    head = ReferringDecodeHead()
    count = sum(p.numel() for p in head.parameters())
    assert count == pytest.approx(20.65e6, abs=5e3)


def test_unknown_text_level_is_refused():
    with pytest.raises(ValueError, match='text_levels'):
        TCMDHead(text_levels=(4,), **ARGS)


def test_loss_is_equation_13(build_model, make_samples, tiny_cfg):
    """0.9 cross-entropy + 0.1 plain Dice of the target, per sample, averaged."""
    head = build_model(tiny_cfg).decode_head
    logits = torch.randn(2, 2, 16, 16)
    samples = make_samples(['a', 'b'])
    losses = head.loss_by_feat(logits, samples)
    probabilities = F.interpolate(
        logits, (64, 64), mode='bilinear', align_corners=True
    ).softmax(dim=1)
    target = torch.stack([s.gt_sem_seg.data[0] for s in samples]).float()
    foreground = probabilities[:, 1]
    entropy = -(target * foreground.log() + (1 - target) * (1 - foreground).log())
    overlap = 2 * (foreground * target).sum(dim=(1, 2))
    dice = 1 - overlap / (foreground.sum(dim=(1, 2)) + target.sum(dim=(1, 2)))
    expected = dict(loss_ce=0.9 * entropy.mean(), loss_dice=0.1 * dice.mean())
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=1e-3)


def test_the_package_leaves_the_filters_of_warnings_alone():
    """In a process of its own, which has imported all that is not ours."""
    code = (
        'import warnings, transformers, mmcv, mmengine, mmseg.models\n'
        'before = list(warnings.filters)\n'
        'import mmcadformer.models.decode_heads.referring_head\n'
        'new = [f for f in warnings.filters if f not in before]\n'
        'assert not new, new'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_aligned_corners_are_no_reason_to_warn(
    build_model, make_samples, tiny_cfg, recwarn, mode
):
    """The host warns of sizes like these, 16 to 70 pixels."""
    model = build_model(tiny_cfg)
    samples = make_samples(['a', 'b'], size=(70, 100))
    model(torch.randn(2, 3, 70, 100), samples, mode=mode)
    assert not [w for w in recwarn if 'align_corners' in str(w.message)]


@pytest.mark.parametrize(
    ('meta', 'size'),
    [
        (dict(img_shape=(30, 40)), (30, 40)),
        (dict(img_shape=(30, 40), pad_shape=(32, 48)), (32, 48)),
        (dict(img_shape=(30, 40, 3), pad_shape=(32, 48, 3)), (32, 48)),
        (dict(img_shape=torch.Size([9, 11]), pad_shape=(32, 48)), (9, 11)),
    ],
)
def test_logits_get_the_size_that_the_host_gives_them(meta, size):
    head = TCMDHead(**ARGS)
    logits = torch.randn(1, 2, 8, 12)
    expected = F.interpolate(logits, size, mode='bilinear', align_corners=True)
    assert torch.equal(head.predict_by_feat(logits, [meta]), expected)
