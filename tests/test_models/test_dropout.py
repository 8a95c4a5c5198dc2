# SPDX-License-Identifier: Apache-2.0
"""Cheap dropout has the distribution of PyTorch's; so has attention by tiles."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from mmcadformer.models.layers import Dropout, attend, drop_rate, keep_mask

# Deviations of a mean that chance allows, once in 16,000.
SIGMA = 4


@pytest.mark.parametrize('p', [0.1, 0.2, 0.5, 0.9])
def test_masks_have_the_rate(p):
    torch.manual_seed(0)
    count = 1_000_003  # not a multiple of what one random number decides
    mask = keep_mask((count,), p)
    assert mask.unique().tolist() == [0, 1]
    deviation = (p * (1 - p) / count) ** 0.5
    assert mask.float().mean().item() == pytest.approx(1 - p, abs=SIGMA * deviation)


def test_rate_is_met_to_the_last_part():
    assert drop_rate(0.1) == 6554 / 65536
    assert drop_rate(0.1) == pytest.approx(0.1, abs=1 / 131072)
    torch.manual_seed(0)
    count = 1 << 24
    for parts in (1, 65535):
        expected = count * parts / 65536
        dropped = (keep_mask((count,), parts / 65536) == 0).sum().item()
        margin = SIGMA * (expected * (1 - parts / 65536)) ** 0.5
        assert dropped == pytest.approx(expected, abs=margin)


def test_values_are_dropped_independently():
    """Neighbours, of which four come from one number, rows and calls."""
    torch.manual_seed(0)
    p, shape = 0.3, (1000, 1001)
    first, second = (keep_mask(shape, p).float() - (1 - p) for _ in range(2))
    pairs = [first * second]
    pairs += [first[:, lag:] * first[:, :-lag] for lag in range(1, 9)]
    pairs += [first[1:] * first[:-1]]
    deviation = p * (1 - p) / first.numel() ** 0.5
    for pair in pairs:
        assert pair.mean().item() == pytest.approx(0, abs=1.01 * SIGMA * deviation)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_mean_and_the_gradient_follows(dtype):
    torch.manual_seed(0)
    x = torch.full((500, 1000), 3.0, dtype=dtype, requires_grad=True)
    y = Dropout(0.1)(x)
    y.sum().backward()
    assert y.dtype == dtype
    rate = drop_rate(0.1)
    grown = torch.tensor(3 / (1 - rate), dtype=dtype)
    assert set(y.unique().tolist()) == {0.0, grown.item()}
    margin = SIGMA * 3 * (rate / (1 - rate) / x.numel()) ** 0.5
    rounding = abs(grown.item() * (1 - rate) - 3)
    assert y.float().mean().item() == pytest.approx(3, abs=margin + rounding)
    torch.testing.assert_close(x.grad, y.detach() / 3, rtol=1e-2, atol=0)


def test_dropout_follows_pytorchs_seed():
    dropout, x = Dropout(0.5), torch.ones(100, 100)
    masks = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        masks.append(dropout(x))
    assert torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0], masks[1])


@pytest.mark.parametrize('p', [0.0, 1.0])
def test_limits_are_pytorchs(p):
    x = torch.randn(5, 7)
    assert torch.equal(Dropout(p)(x), nn.Dropout(p)(x))
    assert Dropout(0.5).eval()(x) is x


# Rows of tiles that don't divide the number of queries.
@pytest.fixture(params=[100_000, 30_000])
def tile(request, monkeypatch):
    monkeypatch.setattr(
        'mmcadformer.models.layers.tiled_attention._TILE', request.param
    )


def heads(batch=2, queries=333, keys=350, channels=8):
    torch.manual_seed(0)
    q = torch.randn(batch, queries, 2, channels, dtype=torch.double).transpose(1, 2)
    k, v = torch.randn(2, batch, 2, keys, channels, dtype=torch.double)
    return [x.requires_grad_() for x in (q, k, v)]


def mask_of(q, k, p):
    """What is multiplied with the weights: with eye as values they show."""
    eye = torch.eye(k.shape[2], dtype=q.dtype).expand(*k.shape[:2], -1, -1)
    torch.manual_seed(1)
    with torch.no_grad():
        dropped = attend(q, k, eye, None, p)
    return (dropped != 0) / (1 - drop_rate(p))


@pytest.mark.usefixtures('tile')
@pytest.mark.parametrize('p', [0.1, 0.5])
def test_attention_by_tiles_and_its_gradients(p):
    q, k, v = inputs = heads()
    mask = mask_of(q, k, p)
    torch.manual_seed(1)
    result = attend(q, k, v, None, p)
    weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
    expected = (weights * mask) @ v
    torch.testing.assert_close(result, expected)
    direction = torch.randn_like(result)
    gradients = (torch.autograd.grad(y, inputs, direction) for y in (result, expected))
    for gradient, other in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, other)


@pytest.mark.usefixtures('tile')
def test_weights_are_dropped_independently():
    q, k, _ = heads()
    p = 0.25
    centred = (mask_of(q, k, p) != 0).float() - (1 - p)
    pairs = [
        centred,
        centred[0] * centred[1],
        centred[:, 0] * centred[:, 1],
        centred[..., 1:, :] * centred[..., :-1, :],
        centred[..., 1:] * centred[..., :-1],
    ]
    for power, pair in zip((1, 2, 2, 2, 2), pairs, strict=True):
        deviation = (p * (1 - p)) ** (power / 2) / pair.numel() ** 0.5
        assert pair.mean().item() == pytest.approx(0, abs=SIGMA * deviation)


def test_attention_in_bfloat16_is_as_exact_as_pytorchs():
    q, k, v = heads()
    exact = F.scaled_dot_product_attention(q, k, v)
    small = [x.detach().bfloat16() for x in (q, k, v)]

    def error(result):
        return (result.double() - exact).norm() / exact.norm()

    # Its logits are rounded once, which PyTorch's are not.
    assert error(attend(*small)) < 2 * error(F.scaled_dot_product_attention(*small))


def test_recomputed_blocks_drop_the_same():
    q, k, v = inputs = heads()
    results = []
    for way in (attend, lambda *args: checkpoint(attend, *args, use_reentrant=False)):
        torch.manual_seed(3)
        loss = way(q, k, v, None, 0.2).square().sum()
        results.append(torch.autograd.grad(loss, inputs))
    for gradient, other in zip(*results, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=0)


def test_tensors_without_values_and_compilers_pass():
    with FakeTensorMode():
        q, k, v = (torch.randn(1, 2, 400, 8, requires_grad=True) for _ in range(3))
        Dropout(0.1)(attend(q, k, v, None, 0.1)).sum().backward()
        assert q.grad.shape == q.shape
    torch._dynamo.reset()

    @torch.compile(backend='eager', fullgraph=True)
    def step(x):
        return Dropout(0.1)(attend(x, x, x, None, 0.1))

    assert step(torch.randn(1, 2, 400, 8)).shape == (1, 2, 400, 8)
