# SPDX-License-Identifier: Apache-2.0
"""The Transformer layer of the decoder: pixels attend to each other and to words."""

from __future__ import annotations

from torch import Tensor, nn


class TextDecoderLayer(nn.TransformerDecoderLayer):
    """PyTorch's decoder layer whose self-attention is always the fused one.

    In evaluation mode PyTorch's own layer takes a native path that stores the whole
    attention matrix: 3600 x 3600 x heads numbers for a 60 x 60 map, 415 MB per
    sample with eight heads. It also can't be exported. Same parameters, same result.

    Args:
        *args, **kwargs: As for :class:`torch.nn.TransformerDecoderLayer`.
    """

    def _sa_block(
        self,
        x: Tensor,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        is_causal: bool = False,
    ) -> Tensor:
        # A key that is another object than the query keeps PyTorch off that path.
        context = x.view_as(x)
        x = self.self_attn(
            x,
            context,
            context,
            attn_mask=attn_mask,
            key_padding_mask=key_padding_mask,
            is_causal=is_causal,
            need_weights=False,
        )[0]
        return self.dropout1(x)
