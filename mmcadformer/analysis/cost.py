# SPDX-License-Identifier: Apache-2.0
"""Parameters and operations of a referring segmentor, part by part."""

from __future__ import annotations

from torch import nn

from ..models.fusions import StageFusion
from .building import random_inputs
from .flops import count_flops
from .module_tree import Node, build_tree


def sum_parts(tree: Node) -> dict[str, dict[str, int]]:
    """Parameters and FLOPs of the parts that the paper names."""
    parts = {}
    for child in tree.children:
        if child.name == 'backbone':
            fusion = _fusion_cost(child)
            parts['backbone'] = dict(
                params=child.params - fusion['params'],
                flops=child.flops - fusion['flops'],
            )
            parts['fusion'] = fusion
        elif child.params or child.flops:
            parts[child.name] = dict(params=child.params, flops=child.flops)
    order = ['text_encoder', 'backbone', 'fusion', 'neck', 'decode_head']
    names = [name for name in order if name in parts]
    names += [name for name in parts if name not in order]
    return {name: parts[name] for name in names}


def _fusion_cost(node: Node) -> dict[str, int]:
    if isinstance(node.module, StageFusion):
        return dict(params=node.params, flops=node.flops)
    costs = [_fusion_cost(child) for child in node.children]
    return {key: sum(cost[key] for cost in costs) for key in ('params', 'flops')}


def parameter_summary(model: nn.Module) -> dict[str, int]:
    """Parameter counts under the conventions found in papers."""
    total = sum(p.numel() for p in model.parameters())
    text = sum(p.numel() for p in model.text_encoder.parameters())
    width = model.text_encoder.out_channels
    return dict(
        total=total,
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        without_text_encoder=total - text,
        # BERT's pooler, a linear layer on [CLS], has no part in this model.
        with_bert_pooler=total + width * (width + 1),
    )


def analyse(model: nn.Module, shape: tuple[int, int], tokens: int) -> dict:
    """Counts everything for one image and one expression.

    Args:
        model: A ReferringSegmentor in evaluation mode.
        shape: Height and width of the image in pixels.
        tokens: Tokens of the expression, none of them padding.

    Returns:
        ``parameters``, ``flops``, ``parts``, and the ``tree`` of modules.
    """
    device = str(next(model.parameters()).device)
    flops = count_flops(model, **random_inputs(shape, tokens, device=device))
    tree = build_tree('', model, flops)
    return dict(
        parameters=parameter_summary(model),
        flops=tree.flops,
        parts=sum_parts(tree),
        tree=tree,
    )
