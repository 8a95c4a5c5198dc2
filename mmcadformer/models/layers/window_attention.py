# SPDX-License-Identifier: Apache-2.0
"""Fused window attention for MMSegmentation's Swin Transformer.

Same parameters and results as the host's classes; faster because the attention runs
in ``scaled_dot_product_attention`` and the mask of the shifted windows is made once
per feature size instead of at every call.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.backbones.swin import ShiftWindowMSA, SwinBlock, WindowMSA
from torch import Tensor


def shifted_window_mask(
    height: int, width: int, window: int, shift: int, device: torch.device
) -> Tensor:
    """Additive mask that keeps the parts of a shifted window apart.

    From a padded feature size, multiples of the window, to (num_windows, window**2,
    window**2), 0 or -100 as in Swin.
    """
    regions = []
    for size in (height, width):
        index = torch.arange(size, device=device)
        regions.append((index >= size - window).int() + (index >= size - shift).int())
    region = regions[0][:, None] * 3 + regions[1]
    region = region.view(height // window, window, width // window, window)
    region = region.transpose(1, 2).reshape(-1, window**2)
    different = region.unsqueeze(1) != region.unsqueeze(2)
    return different.float() * -100.0


class FusedWindowMSA(WindowMSA):
    """:class:`WindowMSA` on ``scaled_dot_product_attention``."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend within windows (B * num_windows, N, C), those of a sample adjacent.

        The mask (num_windows, N, N) is additive.
        """
        bias = self._position_bias(x.shape[1]).unsqueeze(0)  # (1, h, N, N)
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B * nW, h, N, C/h)
        if mask is None:
            out = self._attend(q, k, v, bias)
        elif self._goes_by_sample(x):
            out = self._attend_by_sample(q, k, v, bias + mask.unsqueeze(1))
        else:
            out = self._attend_at_once(q, k, v, bias + mask.unsqueeze(1))
        return self.proj_drop(self.proj(out))

    @staticmethod
    def _goes_by_sample(x: Tensor) -> bool:
        # On CPUs copies cost more than calls.
        return x.device.type == 'cpu'

    def _attend_by_sample(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor
    ) -> Tensor:
        windows = bias.shape[0]
        samples = zip(*(x.split(windows) for x in (q, k, v)), strict=True)
        outs = [self._attend(q_s, k_s, v_s, bias) for q_s, k_s, v_s in samples]
        return outs[0] if len(outs) == 1 else torch.cat(outs)

    def _attend_at_once(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Windows pass for heads, so that no mask is repeated for each sample."""
        windows = bias.shape[0]
        q, k, v = (x.unflatten(0, (-1, windows)).flatten(1, 2) for x in (q, k, v))
        out = self._attend(q, k, v, bias.flatten(0, 1).unsqueeze(0))
        out = out.unflatten(2, (windows, -1))  # (B, N, nW, C)
        return out.transpose(1, 2).flatten(0, 1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """From (S, h, N, C/h) to (S, N, C)."""
        bias = bias.to(q.dtype)
        if _fuses_slowly(bias):
            weights = ((q * self.scale) @ k.transpose(-2, -1) + bias).softmax(-1)
            out = self.attn_drop(weights.to(v.dtype)) @ v
        else:
            out = F.scaled_dot_product_attention(
                q,
                k,
                v,
                attn_mask=bias,
                dropout_p=self.attn_drop.p if self.training else 0.0,
                scale=self.scale,
            )
        return out.transpose(1, 2).flatten(2)

    def _position_bias(self, tokens: int) -> Tensor:
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        return bias.view(tokens, tokens, -1).permute(2, 0, 1).contiguous()


class FusedShiftWindowMSA(ShiftWindowMSA):
    """:class:`ShiftWindowMSA` with :class:`FusedWindowMSA` and a cached mask."""

    def __init__(
        self, embed_dims: int, num_heads: int, window_size: int, **kwargs: Any
    ) -> None:
        super().__init__(embed_dims, num_heads, window_size, **kwargs)
        self.w_msa: FusedWindowMSA = FusedWindowMSA(
            embed_dims=embed_dims,
            num_heads=num_heads,
            window_size=(window_size, window_size),
            qkv_bias=kwargs.get('qkv_bias', True),
            qk_scale=kwargs.get('qk_scale'),
            attn_drop_rate=kwargs.get('attn_drop_rate', 0),
            proj_drop_rate=kwargs.get('proj_drop_rate', 0),
        )
        self._masks: dict[tuple, Tensor] = {}

    def forward(self, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Attend within (shifted) windows of (B, H*W, C), giving the same shape."""
        height, width = hw_shape
        window, shift = self.window_size, self.shift_size
        x = query.unflatten(1, hw_shape)
        bottom, right = (window - size % window for size in (height, width))
        x = F.pad(x, (0, 0, 0, right % window, 0, bottom % window))
        padded = (x.shape[1], x.shape[2])
        mask = None
        if shift > 0:
            x = x.roll((-shift, -shift), dims=(1, 2))
            mask = self._mask(padded, x.device)
        x = self._to_windows(x)
        x = self._from_windows(self.w_msa(x, mask=mask), padded)
        if shift > 0:
            x = x.roll((shift, shift), dims=(1, 2))
        return self.drop(x[:, :height, :width].flatten(1, 2))

    def _mask(self, size: tuple[int, int], device: torch.device) -> Tensor:
        key = (*size, device)
        if key not in self._masks:
            # One size at a time is the rule; images of many sizes must not pile up.
            if len(self._masks) >= 4:
                self._masks.clear()
            self._masks[key] = shifted_window_mask(
                *size, self.window_size, self.shift_size, device
            )
        return self._masks[key]

    def _to_windows(self, x: Tensor) -> Tensor:
        window = self.window_size
        x = x.unflatten(1, (-1, window)).unflatten(3, (-1, window))
        return x.transpose(2, 3).flatten(0, 2).flatten(1, 2)  # (B*nW, window**2, C)

    def _from_windows(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        window = self.window_size
        rows, columns = size[0] // window, size[1] // window
        x = x.unflatten(1, (window, window)).unflatten(0, (-1, rows, columns))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, H, W, C)


def _fuses_slowly(bias: Tensor) -> bool:
    """Whether PyTorch would go from bfloat16 to float32 and back.

    It does on CPUs, where no kernel gives the gradient of the bias.
    """
    small = bias.dtype == torch.bfloat16 and bias.device.type == 'cpu'
    return small and bias.requires_grad


def fuse_window_attention(block: SwinBlock) -> None:
    """Replace a Swin block's attention by the fused one, settings and names kept."""
    attn, w_msa = block.attn, block.attn.w_msa
    fused = FusedShiftWindowMSA(
        embed_dims=w_msa.embed_dims,
        num_heads=w_msa.num_heads,
        window_size=attn.window_size,
        shift_size=attn.shift_size,
        qkv_bias=w_msa.qkv.bias is not None,
        qk_scale=w_msa.scale,
        attn_drop_rate=w_msa.attn_drop.p,
        proj_drop_rate=w_msa.proj_drop.p,
    )
    fused.drop = attn.drop
    block.attn = fused
