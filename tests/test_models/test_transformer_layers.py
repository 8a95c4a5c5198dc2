# SPDX-License-Identifier: Apache-2.0
"""Transformer layers on contiguous tensors against PyTorch's own."""

from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmcadformer.models.layers import (
    BatchFirstAttention,
    SelfAttentionLayer,
    TextDecoderLayer,
)
from mmcadformer.models.necks.guided_multiscale import GuidedMultiScaleNeck


class Operators(TorchDispatchMode):
    """Counts the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def operators_of(step):
    with Operators() as operators:
        step()
    return operators.names


def padded(words=6):
    """Bool (2, words), True on real tokens."""
    mask = torch.ones(2, words, dtype=torch.bool)
    mask[1, 3:] = False
    return mask


def decoder_pair(training, dtype):
    torch.manual_seed(0)
    args = (16, 4, 24, 0.0)
    layer = TextDecoderLayer(*args).to(dtype).train(training)
    reference = nn.TransformerDecoderLayer(*args, batch_first=True).to(dtype)
    reference.load_state_dict(layer.state_dict())
    return layer, reference.train(training)


# Processors sum in different orders: some units of the last place of values up to 4.
@pytest.mark.parametrize(
    ('dtype', 'most'), [(torch.float32, 2e-6), (torch.double, 1e-14)]
)
@pytest.mark.parametrize('training', [False, True])
def test_decoder_layer_is_pytorchs(training, dtype, most):
    layer, reference = decoder_pair(training, dtype)
    pixels = torch.randn(2, 16, 30, dtype=dtype).transpose(1, 2)  # as maps give them
    words = torch.randn(2, 6, 16, dtype=dtype)
    with torch.set_grad_enabled(training):
        result = layer(pixels, words, padded())
        expected = reference(pixels, words, memory_key_padding_mask=~padded())
    torch.testing.assert_close(result, expected, rtol=0, atol=most)
    if training:
        weight = torch.randn_like(result)
        for output in (result, expected):
            (output * weight).sum().backward()
        for (name, p), q in zip(
            layer.named_parameters(), reference.parameters(), strict=True
        ):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize('training', [False, True])
def test_encoder_layer_is_pytorchs(training):
    torch.manual_seed(0)
    layer = SelfAttentionLayer(16, 4, 24).train(training)
    reference = nn.TransformerEncoderLayer(
        16, 4, 24, 0.0, 'gelu', batch_first=True, norm_first=True
    ).train(training)
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(2, 30, 16)
    torch.testing.assert_close(layer(x), reference(x), rtol=0, atol=1e-6)


def test_attention_is_pytorchs():
    torch.manual_seed(0)
    layer = BatchFirstAttention(16, 4).eval()
    attention = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    attention.load_state_dict(layer.state_dict())
    query, context, mask = torch.randn(2, 1, 16), torch.randn(2, 6, 16), padded()
    expected, _ = attention(query, context, context, key_padding_mask=~mask)
    torch.testing.assert_close(layer(query, context, mask), expected)
    expected, _ = attention(context, context, context)
    torch.testing.assert_close(layer(context), expected)


def test_dropout_of_the_attention():
    """Each weight is dropped with the layer's probability, the others grow by it."""
    torch.manual_seed(0)
    attention = BatchFirstAttention(2, 1, 0.25)
    with torch.no_grad():
        attention.in_proj_weight.zero_()[4:] = torch.eye(2)  # all attend alike
        attention.out_proj.weight.copy_(torch.eye(2))
    context = torch.eye(2)[None]  # what is attended to shows the weights
    weights = attention(torch.randn(1, 20_000, 2), context)[0]
    assert weights.unique().tolist() == pytest.approx([0.0, 0.5 / 0.75])
    assert (weights == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    both = ((weights == 0).sum(dim=1) == 2).float().mean().item()
    assert both == pytest.approx(0.25**2, abs=0.01)
    same = attention.eval()(torch.randn(1, 5, 2), context)
    torch.testing.assert_close(same, torch.full_like(same, 0.5))


def test_attention_matrix_is_never_stored():
    layer = TextDecoderLayer(16, 4, 24).eval()
    with torch.no_grad():
        names = operators_of(
            lambda: layer(torch.randn(1, 30, 16), torch.randn(1, 6, 16))
        )
    assert any('scaled_dot_product' in name for name in names)
    assert '_native_multi_head_attention' not in names
    assert '_softmax' not in names


def tcmd_layer():
    layer = TextDecoderLayer(16, 4, 24).eval()
    pixels = torch.randn(1, 16, 30).transpose(1, 2)
    return lambda: layer(pixels, torch.randn(1, 6, 16))


def guided_neck():
    neck = GuidedMultiScaleNeck((4, 4, 16, 32), text_channels=16, depths=(1, 1)).eval()
    levels = [torch.randn(1, c, 32 // c, 32 // c) for c in (4, 4, 16, 32)]
    text, mask = torch.randn(1, 6, 16), torch.ones(1, 6, dtype=torch.bool)
    return lambda: neck(levels, text, mask)


@pytest.mark.parametrize('build', [tcmd_layer, guided_neck])
def test_bfloat16_has_no_product_that_float32_lacks(build):
    """PyTorch's own layers copy their weights once per position under autocast."""
    step = build()
    with torch.no_grad():
        plain = operators_of(step)
        with torch.autocast('cpu', torch.bfloat16):
            cheaper = operators_of(step)
    products = ('addmm', 'mm', 'bmm', 'baddbmm')
    assert {n: cheaper[n] for n in products} == {n: plain[n] for n in products}
