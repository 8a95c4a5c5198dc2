# SPDX-License-Identifier: Apache-2.0
"""Language-guided cross-scale enhancement (LGCE)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..layers import BatchFirstAttention, SelfAttentionLayer


class TokenExchange(BaseModule):
    """Sends a guide token to the other scale, where it attends, and back.

    LayerNorm, GELU and a linear layer change its width; in the other scale it
    queries itself and the patches (pre-norm, residual); then the way back.
    """

    def __init__(self, channels: int, other_channels: int, num_heads: int) -> None:
        super().__init__()
        self.outward = self._change_width(channels, other_channels)
        self.norm = nn.LayerNorm(other_channels)
        self.attention = BatchFirstAttention(other_channels, num_heads)
        self.homeward = self._change_width(other_channels, channels)

    @staticmethod
    def _change_width(channels: int, other_channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.LayerNorm(channels), nn.GELU(), nn.Linear(channels, other_channels)
        )

    def forward(self, token: Tensor, other_patches: Tensor) -> Tensor:
        """Let the token (B, 1, channels) see the patches (B, N', other_channels)."""
        token = self.outward(token)
        sequence = self.norm(torch.cat([token, other_patches], dim=1))
        attended = self.attention(sequence[:, :1], sequence)
        return self.homeward(token + attended)


@MODELS.register_module()
class GuidedMultiScaleNeck(BaseModule):
    """Lets the sentence, and the other level, speak in the two deepest levels.

    The mean of the token features becomes one guide token per level, which joins its
    level's patches in pre-norm self-attention blocks; then the tokens are dropped and
    the patches replace the two levels. Before that, each token may visit the other
    level (:class:`TokenExchange`).

    As published, LGCE has CrossViT's order: the exchange comes last and ends in the
    tokens, which are dropped, so it receives no gradient and changes nothing. With
    ``exchange=False`` it isn't built, and the rest as published is ``depths=(1, 3)``,
    ``num_heads=(8, 16)``, ``mlp_ratio=2``, ``qkv_bias=False`` and
    ``mean_over_padding=True``. With the exchange first, which is the default, it has
    the effect that its name promises; that is a variant of ours.

    Args:
        in_channels: Channels of all levels, fine to coarse.
        depths: Self-attention blocks of the two levels, the finer first; at least 1.
        num_heads: Heads of every attention, or of each level's. The exchange takes
            those of the level that is visited.
        mlp_ratio: Hidden width of the blocks' MLPs.
        mean_over_padding: Take the mean over all tokens, padding included, as the
            authors do. Then padding changes the result, so it needs
            ``text_encoder.pad_to_max=True``.
        exchange: Let the guide tokens visit the other level first.
        qkv_bias: Biases on the queries, keys and values of the blocks.
    """

    uses_text = True

    def __init__(
        self,
        in_channels: tuple[int, ...] = (128, 256, 512, 1024),
        text_channels: int = 768,
        depths: Sequence[int] = (3, 3),
        num_heads: int | Sequence[int] = 8,
        mlp_ratio: float = 3.0,
        mean_over_padding: bool = False,
        exchange: bool = True,
        qkv_bias: bool = True,
    ) -> None:
        super().__init__()
        if len(depths) != 2 or min(depths) < 1:
            raise ValueError(
                f'neck.depths={tuple(depths)} must be two numbers of at least 1: '
                'without self-attention the exchange between levels reaches nothing'
            )
        self.mean_over_padding = mean_over_padding
        pair = tuple(in_channels[-2:])
        heads = (num_heads, num_heads) if isinstance(num_heads, int) else num_heads
        self.guides = ModuleList(nn.Linear(text_channels, c) for c in pair)
        self.exchanges = ModuleList(
            TokenExchange(pair[own], pair[1 - own], heads[1 - own])
            for own in ((0, 1) if exchange else ())
        )
        self.blocks = ModuleList(
            nn.Sequential(*(_block(c, n, mlp_ratio, qkv_bias) for _ in range(depth)))
            for c, n, depth in zip(pair, heads, depths, strict=True)
        )

    def forward(
        self, inputs: tuple[Tensor, ...], text: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, ...]:
        sentence = self._mean(text, text_mask)
        patches = [level.flatten(2).transpose(1, 2) for level in inputs[-2:]]
        enhanced = []
        for i, level in enumerate(inputs[-2:]):
            token = self.guides[i](sentence)
            if self.exchanges:
                token = self.exchanges[i](token, patches[1 - i])
            sequence = self.blocks[i](torch.cat([token, patches[i]], dim=1))
            out = sequence[:, 1:].transpose(1, 2).unflatten(2, level.shape[2:])
            enhanced.append(out.contiguous())
        return (*inputs[:-2], *enhanced)

    def _mean(self, text: Tensor, text_mask: Tensor) -> Tensor:
        """Mean of the token features (B, 1, C_t)."""
        if self.mean_over_padding:
            return text.mean(dim=1, keepdim=True)
        weight = text_mask.unsqueeze(-1).to(text.dtype)
        total = (text * weight).sum(dim=1, keepdim=True)
        return total / weight.sum(dim=1, keepdim=True)


def _block(
    channels: int, num_heads: int, mlp_ratio: float, qkv_bias: bool
) -> nn.Module:
    block = SelfAttentionLayer(channels, num_heads, int(channels * mlp_ratio))
    if not qkv_bias:  # PyTorch's own key would take the other biases away, too
        block.self_attn.register_parameter('in_proj_bias', None)
    return block
