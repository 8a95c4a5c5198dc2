# SPDX-License-Identifier: Apache-2.0
"""PyTorch's Transformer layers, parameters kept, on contiguous batch-first tensors.

``nn.MultiheadAttention`` puts the sequence first. A linear layer of that view is a
batched product under autocast: its weight is copied once for each position, 3.8 GB for
the 3600 positions of a 60 x 60 map, which takes longer than all the rest of a network.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .dropout import Dropout
from .tiled_attention import attend


class BatchFirstAttention(nn.MultiheadAttention):
    """PyTorch's layer with the fused kernels in training and evaluation alike.

    Same parameters, same result. In evaluation mode PyTorch's own takes a path that
    stores the whole attention matrix, 3600 x 3600 x heads numbers for a 60 x 60 map:
    415 MB per sample with eight heads. It also can't be exported.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__(channels, num_heads, dropout=dropout, batch_first=True)

    def forward(  # type: ignore[override]  # fewer masks, and no weights
        self,
        query: Tensor,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend from a sequence to itself or to another one.

        Args:
            query: (B, N_q, C).
            context: (B, N_c, C); None for the query.
            context_mask: Bool (B, N_c), True where the context is real.

        Returns:
            (B, N_q, C).
        """
        q, k, v = (
            x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for x in self._project(query.contiguous(), context)
        )
        mask = None if context_mask is None else context_mask[:, None, None, :]
        attended = attend(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _project(self, query: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
        """Queries, keys and values, each (B, N, C)."""
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if context is None:
            return F.linear(query, weight, bias).chunk(3, dim=2)
        parts = [self.embed_dim, 2 * self.embed_dim]
        own, other = weight.split(parts)
        own_bias, other_bias = (None, None) if bias is None else bias.split(parts)
        keys, values = F.linear(context, other, other_bias).chunk(2, dim=2)
        return F.linear(query, own, own_bias), keys, values


class TextDecoderLayer(nn.Module):
    """``nn.TransformerDecoderLayer`` of pixels that read words, norms behind.

    Same parameters by the same names, same result, no other masks.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        feedforward_channels: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.self_attn = BatchFirstAttention(channels, num_heads, dropout)
        self.multihead_attn = BatchFirstAttention(channels, num_heads, dropout)
        self.linear1 = nn.Linear(channels, feedforward_channels)
        self.dropout = Dropout(dropout)
        self.linear2 = nn.Linear(feedforward_channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)

    def forward(
        self, pixels: Tensor, words: Tensor, words_mask: Tensor | None = None
    ) -> Tensor:
        """Let pixels attend to each other, then to words.

        Args:
            pixels: (B, N_p, C).
            words: (B, N_w, C).
            words_mask: Bool (B, N_w), True on real tokens.

        Returns:
            (B, N_p, C).
        """
        # Once, for all layers below: those of a map are strided.
        x = pixels.contiguous()
        x = self.norm1(x + self.dropout1(self.self_attn(x)))
        read = self.multihead_attn(x, words, words_mask)
        x = self.norm2(x + self.dropout2(read))
        hidden = self.dropout(F.relu(self.linear1(x)))
        return self.norm3(x + self.dropout3(self.linear2(hidden)))


class SelfAttentionLayer(nn.Module):
    """``nn.TransformerEncoderLayer`` with GELU, norms before, without dropout.

    Same parameters by the same names, same result, no masks.
    """

    def __init__(
        self, channels: int, num_heads: int, feedforward_channels: int
    ) -> None:
        super().__init__()
        self.self_attn = BatchFirstAttention(channels, num_heads)
        self.linear1 = nn.Linear(channels, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Let the positions of a sequence (B, N, C) attend to each other."""
        x = x + self.self_attn(self.norm1(x))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))
