# SPDX-License-Identifier: Apache-2.0
"""Attention between many positions on CPUs, tile by tile.

PyTorch's fused kernel for CPUs knows no dropout: with it the whole attention matrix is
made, several times and in float32, 830 MB each for two maps of 60 x 60 with eight
heads. Without dropout, it is slow in bfloat16. Here some hundred queries at a time are
multiplied, in caches, with all the keys.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dropout import draws_cheaply, drop_rate, keep_mask

# Values of a tile: some MB, which caches hold, and not many calls.
_TILE = 1_600_000
# Values of an attention matrix from which the calls of tiles don't matter.
_LARGE = 100_000


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """PyTorch's ``scaled_dot_product_attention``, or a faster way to the same.

    Args:
        q: (B, h, N_q, C).
        k: (B, h, N_k, C).
        v: (B, h, N_k, C_v).
        mask: Bool, broadcast to (B, h, N_q, N_k), True where a query may look; None
            for everywhere.
        dropout: Probability by which weights are dropped.

    Returns:
        (B, h, N_q, C_v).
    """
    if mask is None and _gains_by_tiles(q, k, dropout):
        return TiledAttention.apply(q, k, v, dropout)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


def _gains_by_tiles(q: Tensor, k: Tensor, dropout: float) -> bool:
    large = q.shape[-2] * k.shape[-2] >= _LARGE and k.shape[-2] <= _TILE // 16
    slow = dropout > 0 or q.dtype == torch.bfloat16
    return draws_cheaply(q) and large and slow and dropout < 1


class TiledAttention(torch.autograd.Function):
    """``softmax(q k^T / sqrt(C)) v``, with dropout of the weights."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
        """From (B, h, N, C) each and a probability below 1; see :func:`attend`."""
        rate = drop_rate(dropout)
        batch, heads, queries, channels = q.shape
        # Heads are put together next.
        out = q.new_empty(batch, queries, heads, v.shape[-1]).transpose(1, 2)
        keep = None
        if rate > 0:
            shape = (batch, heads, queries, k.shape[2])
            keep = torch.empty(shape, dtype=torch.int8)
        scaled, values = q * channels**-0.5, v / (1 - rate)
        with torch.autocast('cpu', enabled=False):
            for at, rows in _tiles(q, k):
                weights = (scaled[at][rows] @ k[at].t()).softmax(-1)
                if keep is not None:
                    kept = keep_mask(weights.shape, rate)
                    keep[at][rows] = kept
                    weights.mul_(kept.to(weights.dtype))
                out[at][rows] = weights @ values[at]
        ctx.rate = rate
        ctx.save_for_backward(q, k, v, out, keep)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients; the weights are computed once more, the masks were kept.

        With P the weights and M the mask over 1 - rate, dP is M times ``grad v^T``, and
        the gradient of the logits ``P (dP - rows of grad times out)``.
        """
        q, k, v, out, keep = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        scaled, values = q * scale, v / (1 - ctx.rate)
        for_values = grad / (1 - ctx.rate)
        exact = torch.promote_types(q.dtype, torch.float32)
        dots = (grad.to(exact) * out.to(exact)).sum(-1, keepdim=True).to(q.dtype)
        grad_q = torch.empty_like(q)
        grad_k, grad_v = (torch.zeros_like(x, dtype=exact) for x in (k, v))
        for at, rows in _tiles(q, k):
            weights = (scaled[at][rows] @ k[at].t()).softmax(-1)
            grad_logits = grad[at][rows] @ values[at].t()
            dropped = weights
            if keep is not None:
                kept = keep[at][rows].to(q.dtype)
                grad_logits.mul_(kept)
                dropped = kept.mul_(weights)
            grad_logits.sub_(dots[at][rows]).mul_(weights)
            grad_q[at][rows] = grad_logits @ k[at]
            grad_k[at] += grad_logits.t() @ scaled[at][rows]
            grad_v[at] += dropped.t() @ for_values[at][rows]
        return grad_q.mul_(scale), grad_k.to(k.dtype), grad_v.to(v.dtype), None


def _tiles(q: Tensor, k: Tensor) -> list[tuple[tuple[int, int], slice]]:
    """Sample and head, and the rows of each tile, which are alike in height."""
    batch, heads, queries = q.shape[:3]
    tiles = math.ceil(queries * k.shape[2] / _TILE)
    height = math.ceil(queries / tiles)
    return [
        ((sample, head), slice(start, start + height))
        for sample in range(batch)
        for head in range(heads)
        for start in range(0, queries, height)
    ]
