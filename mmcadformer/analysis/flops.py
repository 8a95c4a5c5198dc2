# SPDX-License-Identifier: Apache-2.0
"""Floating point operations of one forward pass."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

CONVENTION = (
    'One multiply-add is two FLOPs. Counted: convolutions, matrix products and both '
    'products of attention, fused or not, for one image and one expression in '
    'evaluation mode. Not counted: norms, activations, softmax, resampling and other '
    'element-wise work. Tokens include [CLS] and [SEP].'
)


def _fused_attention_flops(query, key, value, *args, out_shape=None, **kwargs) -> int:
    """FLOPs of fused attention, from shapes (B, heads, N, C)."""
    return sdpa_flop_count(query, key, value)


def _extra_formulas() -> dict:
    """Fused attention kernels that PyTorch's counter passes over."""
    names = (
        '_scaled_dot_product_flash_attention_for_cpu',
        '_scaled_dot_product_fused_attention_overrideable',
    )
    ops = (getattr(torch.ops.aten, name, None) for name in names)
    return {op: _fused_attention_flops for op in ops if op is not None}


def count_flops(model: nn.Module, **inputs) -> dict[str, int]:
    """Counts the FLOPs of one forward pass.

    Args:
        model: Called with the inputs.
        **inputs: Keyword arguments of the model.

    Returns:
        Module name -> FLOPs inside it; '' is the whole model.
    """
    root = type(model).__name__
    # The fast path of nn.MultiheadAttention is one opaque operation.
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            # Old versions of PyTorch need the argument that new ones warn of.
            warnings.simplefilter('ignore', UserWarning)
            counter = FlopCounterMode(
                mods=model, display=False, custom_mapping=_extra_formulas()
            )
            with torch.no_grad(), counter:
                model(**inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    flops = {'': counter.get_total_flops()}
    for name, counts in counter.get_flop_counts().items():
        if name.startswith(f'{root}.'):
            flops[name[len(root) + 1 :]] = sum(counts.values())
    return flops
