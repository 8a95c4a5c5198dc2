# SPDX-License-Identifier: Apache-2.0
"""Attention of pixels and words to each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalise each channel of each sample over its positions (B, N, C).

    Unlike :func:`torch.nn.functional.instance_norm` it takes channels-last
    sequences and accepts a single position (a 32x32 image at stride 32), for which
    the result is zero. Statistics are taken in float32 at least; ``eps`` is added to
    the variance.
    """
    if _takes_batch_norm(x):
        return _norm_of_each(x, eps)
    y = x if x.dtype == torch.float64 else x.float()
    # Not torch.var_mean, which takes several times as long over this dimension.
    y = y - y.mean(dim=1, keepdim=True)
    var = y.square().mean(dim=1, keepdim=True)
    return (y * torch.rsqrt(var + eps)).to(x.dtype)


# Values of a sample from which the calls of batch norm, one a sample, don't matter.
_LARGE = 100_000


def _takes_batch_norm(x: Tensor) -> bool:
    """Whether PyTorch's batch norm, one sample after the other, is the faster way.

    It takes bfloat16 as it is on CPUs, in a seventh of the time. In float32 it is less
    exact where means are large beside deviations, and exporters can't write it.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    small = x.dtype == torch.bfloat16 and x.device.type == 'cpu'
    return small and x.shape[1] > 1 and x[0].numel() >= _LARGE


def _norm_of_each(x: Tensor, eps: float) -> Tensor:
    """The positions of one sample are what batch norm takes for a batch."""
    normed = [F.batch_norm(y, None, None, training=True, eps=eps) for y in x]
    return torch.stack(normed) if len(normed) > 1 else normed[0].unsqueeze(0)


class CrossModalAttention(BaseModule):
    r"""Attention of one modality (the query) to the other (the context).

    Computes ``softmax(Q W_q (C W_k)^T / sqrt(attn_channels)) C W_v``, the form of
    Eqs. (1)-(2) and (6)-(7) of the CADFormer paper. The scale uses the full width
    whatever the number of heads, as in the LAVT family of models.

    Args:
        attn_channels: Width of queries and keys.
        out_channels: Width of values and of the output.
        num_heads: Number of heads; divides both widths.
        norm_query: Instance norm over the positions of the projected query.
        norm_context: Instance norm over the positions of keys and values.
        norm_out: Instance norm over the positions of the output.
        project_out: One more linear layer after the weighted sum, before the output
            norm.

    The norms belong to whichever side holds *pixels*. Over tokens they would mix
    padding into the result.
    """

    def __init__(
        self,
        query_channels: int,
        context_channels: int,
        attn_channels: int,
        out_channels: int,
        num_heads: int = 1,
        norm_query: bool = False,
        norm_context: bool = False,
        norm_out: bool = False,
        project_out: bool = False,
    ) -> None:
        super().__init__()
        if attn_channels % num_heads or out_channels % num_heads:
            raise ValueError(
                f'num_heads={num_heads} must divide attn_channels={attn_channels} '
                f'and out_channels={out_channels}'
            )
        self.num_heads = num_heads
        self.scale = attn_channels**-0.5
        self.norm_query = norm_query
        self.norm_context = norm_context
        self.norm_out = norm_out
        self.query = nn.Linear(query_channels, attn_channels)
        self.key = nn.Linear(context_channels, attn_channels)
        self.value = nn.Linear(context_channels, out_channels)
        self.out = nn.Linear(out_channels, out_channels) if project_out else None

    def forward(
        self, query: Tensor, context: Tensor, context_mask: Tensor | None = None
    ) -> Tensor:
        """Attend from the query to the context, giving (B, N_q, out_channels).

        One of the two may have a batch of one: one image, several expressions. The
        mask is bool (B, N_c), True where the context is real; padding has no weight.
        """
        q, k = self._query_and_key(query, context)
        v = self.value(context)
        if self.norm_context:
            v = instance_norm(v)
        v = self._split_heads(v)
        if q.shape[0] != k.shape[0]:  # the fused kernels don't broadcast
            batch = max(q.shape[0], k.shape[0])
            q, k, v = (x.expand(batch, -1, -1, -1) for x in (q, k, v))
        mask = self._broadcast_mask(context_mask)
        attended = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=self.scale
        )
        attended = attended.transpose(1, 2).flatten(2)
        if self.out is not None:
            attended = self.out(attended)
        return instance_norm(attended) if self.norm_out else attended

    def similarity(
        self, query: Tensor, context: Tensor, context_mask: Tensor | None = None
    ) -> Tensor:
        """The similarity matrix (B, num_heads, N_q, N_c); rows sum to 1."""
        q, k = self._query_and_key(query, context)
        logits = self.scale * q @ k.transpose(-2, -1)
        mask = self._broadcast_mask(context_mask)
        if mask is not None:
            logits = logits.masked_fill(~mask, float('-inf'))
        return logits.softmax(dim=-1)

    def _query_and_key(self, query: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        q, k = self.query(query), self.key(context)
        if self.norm_query:
            q = instance_norm(q)
        if self.norm_context:
            k = instance_norm(k)
        return self._split_heads(q), self._split_heads(k)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, h, N, C/h)

    @staticmethod
    def _broadcast_mask(mask: Tensor | None) -> Tensor | None:
        return None if mask is None else mask.bool()[:, None, None, :]


def attention_to_words(
    channels: int, text_channels: int, num_heads: int = 1, norm: bool = True
) -> CrossModalAttention:
    """The LAVT family's attention of pixels (B, H*W, channels) to words (B, N, C_t).

    With ``norm``, there are instance norms over the pixels of the projected query and
    of the result, and one 1x1 convolution after the weighted sum. The language side
    isn't normalised.
    """
    return CrossModalAttention(
        query_channels=channels,
        context_channels=text_channels,
        attn_channels=channels,
        out_channels=channels,
        num_heads=num_heads,
        norm_query=norm,
        norm_out=norm,
        project_out=norm,
    )
