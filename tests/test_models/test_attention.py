# SPDX-License-Identifier: Apache-2.0
"""Attention, gates and SMGAM against the paper's equations in plain float64."""

import pytest
import torch
from torch import nn

from mmcadformer.models.fusions import LGVLA, SMGAM, VGLVA
from mmcadformer.models.layers import CrossModalAttention, LanguageGate, instance_norm

B, HW, N, C, CT = 2, 35, 7, 8, 12


def apply(layer: nn.Linear, x):
    out = torch.einsum('bnc,dc->bnd', x, layer.weight)
    return out if layer.bias is None else out + layer.bias


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))


def pixel_norm(x):
    mean = x.mean(dim=1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(dim=1, keepdim=True) + 1e-5)


def gate(module, x):
    hidden = apply(module.mlp[0], x).clamp(min=0)
    return torch.tanh(apply(module.mlp[2], hidden)) * x


def softmax_over(logits, mask=None):
    weights = torch.exp(logits - logits.max())
    if mask is not None:
        weights = weights * mask
    return weights / weights.sum(dim=-1, keepdim=True)


def lgvla_reference(m, visual, text, mask, norm):
    """Eqs. (1)-(4)."""
    projected = gelu(apply(m.visual_proj[0], visual))
    q, k = apply(m.attention.query, projected), apply(m.attention.key, text)
    q = pixel_norm(q) if norm else q
    logits = torch.einsum('bpc,bnc->bpn', q, k) / C**0.5
    similarity = softmax_over(logits, mask[:, None, :].double())
    attended = torch.einsum('bpn,bnc->bpc', similarity, apply(m.attention.value, text))
    if norm:
        attended = pixel_norm(apply(m.attention.out, attended))
    return gate(m.gate, gelu(apply(m.out_proj[0], attended * projected)))


def vglva_reference(m, visual, text, mask, norm):
    """Eqs. (6)-(8)."""
    projected = gelu(apply(m.text_proj[0], text))
    q, k = apply(m.attention.query, projected), apply(m.attention.key, visual)
    v = apply(m.attention.value, visual)
    if norm:
        k, v = pixel_norm(k), pixel_norm(v)
    similarity = softmax_over(torch.einsum('bnc,bpc->bnp', q, k) / C**0.5)
    attended = torch.einsum('bnp,bpc->bnc', similarity, v)
    if norm:
        attended = apply(m.attention.out, attended)
    refined = gate(m.gate, gelu(apply(m.out_proj[0], attended * projected)))
    return refined * mask[..., None]


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    visual = torch.randn(B, HW, C, dtype=torch.float64, generator=generator)
    text = torch.randn(B, N, CT, dtype=torch.float64, generator=generator)
    mask = torch.ones(B, N, dtype=torch.bool)
    mask[1, 4:] = False
    return visual, text, mask


@pytest.mark.parametrize('norm', [True, False])
def test_lgvla_follows_equations_1_to_4(inputs, norm):
    module = LGVLA(C, CT, norm=norm).double()
    torch.testing.assert_close(
        module(*inputs), lgvla_reference(module, *inputs, norm), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize('norm', [True, False])
def test_vglva_follows_equations_6_to_8(inputs, norm):
    module = VGLVA(C, CT, norm=norm).double()
    torch.testing.assert_close(
        module(*inputs), vglva_reference(module, *inputs, norm), rtol=1e-9, atol=1e-9
    )


def test_smgam_merges_as_equations_5_and_9(inputs):
    visual, text, mask = inputs
    module = SMGAM(C, CT).double()
    out = module(visual, (5, 7), text, mask)
    refined = lgvla_reference(module.lgvla, *inputs, True)
    torch.testing.assert_close(out.to_decoder, refined)
    torch.testing.assert_close(out.to_next_stage, visual + refined)
    torch.testing.assert_close(
        out.text, text + vglva_reference(module.vglva, *inputs, True)
    )


@pytest.mark.parametrize('lgvla', [True, False])
@pytest.mark.parametrize('vglva', [True, False])
def test_smgam_without_a_submodule_passes_its_input_on(inputs, lgvla, vglva):
    visual, text, mask = inputs
    module = SMGAM(C, CT, lgvla=lgvla, vglva=vglva).double()
    out = module(visual, (5, 7), text, mask)
    assert (out.to_decoder is visual) == (not lgvla)
    assert (out.text is text) == (not vglva)


def test_several_heads_keep_the_scale_of_the_full_width(inputs):
    visual, text, mask = inputs
    module = CrossModalAttention(C, CT, C, C, num_heads=2).double()
    q, k, v = apply(module.query, visual), apply(module.key, text), None
    v = apply(module.value, text)
    expected = torch.empty(B, HW, C, dtype=torch.float64)
    for head in range(2):
        part = slice(head * C // 2, (head + 1) * C // 2)
        logits = torch.einsum('bpc,bnc->bpn', q[..., part], k[..., part]) / C**0.5
        weights = softmax_over(logits, mask[:, None].double())
        expected[..., part] = torch.einsum('bpn,bnc->bpc', weights, v[..., part])
    torch.testing.assert_close(module(visual, text, mask), expected)


def test_similarity_is_the_matrix_that_forward_uses(inputs):
    visual, text, mask = inputs
    module = CrossModalAttention(C, CT, C, C, norm_query=True).double()
    similarity = module.similarity(visual, text, mask)
    assert similarity.shape == (B, 1, HW, N)
    assert (similarity[1, :, :, 4:] == 0).all()
    attended = torch.einsum('bpn,bnc->bpc', similarity[:, 0], apply(module.value, text))
    torch.testing.assert_close(module(visual, text, mask), attended)


def test_attention_rejects_heads_that_do_not_divide():
    with pytest.raises(ValueError, match='num_heads=3'):
        CrossModalAttention(C, CT, C, C, num_heads=3)


def test_gate_has_no_bias():
    module = LanguageGate(C)
    assert {name for name, _ in module.named_parameters()} == {
        'mlp.0.weight',
        'mlp.2.weight',
    }
    x = torch.randn(B, HW, C)
    torch.testing.assert_close(module(x), gate(module, x))


def test_instance_norm_is_torchs():
    x = torch.randn(B, HW, C)
    expected = nn.functional.instance_norm(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(instance_norm(x), expected, rtol=1e-4, atol=1e-5)
    assert (instance_norm(torch.randn(B, 1, C)) == 0).all()


@pytest.mark.parametrize('size', [(2, 12, 8), (2, 1500, 80), (1, 1500, 80)])
def test_instance_norm_in_bfloat16_has_statistics_in_float32(size):
    """Small samples, and large ones, which take another way on a CPU."""
    own = (torch.randn(size) + 3).bfloat16().requires_grad_()
    other = own.detach().float().requires_grad_()
    found, expected = instance_norm(own), instance_norm(other)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.01, atol=0.01)
    weight = torch.randn(size)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(own.grad.float(), other.grad, rtol=0.02, atol=0.02)
