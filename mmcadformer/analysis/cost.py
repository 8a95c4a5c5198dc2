# SPDX-License-Identifier: Apache-2.0
"""Parameters and floating point operations of a model, module by module."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..models import ReferringSegmentor
from ..models.fusions import StageFusion
from .building import random_inputs

CONVENTION = (
    'One multiply-add is two FLOPs. Counted: convolutions, matrix products and both '
    'products of attention, fused or not, for one image and one expression in '
    'evaluation mode. Not counted: norms, activations, softmax, resampling and other '
    'element-wise work. Tokens include [CLS] and [SEP].'
)
# As the paper lists them; others follow.
_PARTS = ('text_encoder', 'backbone', 'fusion', 'neck', 'decode_head')


@dataclass
class Node:
    """A module, with what it and everything below it costs."""

    name: str
    module: nn.Module
    params: int
    flops: int
    children: list[Node] = field(default_factory=list)


def analyse(
    model: ReferringSegmentor, shape: tuple[int, int], tokens: int
) -> dict[str, Any]:
    """Counts everything for one image and one expression.

    Args:
        model: In evaluation mode.
        shape: Height and width of the image in pixels.
        tokens: Tokens of the expression, none of them padding.

    Returns:
        ``parameters`` (their number under the conventions found in papers),
        ``flops``, ``parts`` (``params`` and ``flops`` of each), and the ``tree`` of
        modules.
    """
    device = str(next(model.parameters()).device)
    flops = count_flops(model, **random_inputs(shape, tokens, device=device))
    tree = build_tree('', model, flops)
    text = sum(p.numel() for p in model.text_encoder.parameters())
    width = model.text_encoder.out_channels
    parameters = dict(
        total=tree.params,
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        without_text_encoder=tree.params - text,
        # BERT's pooler, a linear layer on [CLS], has no part in this model.
        with_bert_pooler=tree.params + width * (width + 1),
    )
    return dict(
        parameters=parameters, flops=tree.flops, parts=_sum_parts(tree), tree=tree
    )


def count_flops(model: nn.Module, **inputs: Any) -> dict[str, int]:
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


def build_tree(name: str, module: nn.Module, flops: dict[str, int]) -> Node:
    """Builds the tree of modules.

    A module costs at least what its children do: a container has no work of its own,
    and a child may be called by another module than its parent.
    """
    children = [
        build_tree(f'{name}.{child_name}' if name else child_name, child, flops)
        for child_name, child in module.named_children()
    ]
    own = max(flops.get(name, 0), sum(child.flops for child in children))
    params = sum(parameter.numel() for parameter in module.parameters())
    return Node(name, module, params, own, children)


def explain(node: Node, least: int, depth: int) -> list[tuple[int, str, int, int]]:
    """Lists the modules below a node, down to those with few parameters.

    Args:
        node: Where to begin.
        least: Modules with fewer parameters are summed up as one row.
        depth: Most levels.

    Returns:
        Rows of level, name, parameters, FLOPs. The rows one level below a module
        add up to it.
    """
    rows = []

    def visit(node: Node, level: int) -> None:
        rows.append((level, node.name or 'model', node.params, node.flops))
        children = _merge_equal(node.children)
        large = [child for child in children if child.params >= least]
        if level == depth or not large:
            return
        for child in large:
            visit(child, level + 1)
        rest = node.params - sum(child.params for child in large)
        rest_flops = node.flops - sum(child.flops for child in large)
        if rest or rest_flops:
            rows.append((level + 1, '(the rest)', rest, rest_flops))

    visit(node, 0)
    return rows


def _extra_formulas() -> dict[Any, Callable[..., int]]:
    """Fused attention kernels that PyTorch's counter passes over."""

    def count(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return sdpa_flop_count(query, key, value)  # of shapes (B, heads, N, C)

    names = (
        '_scaled_dot_product_flash_attention_for_cpu',
        '_scaled_dot_product_fused_attention_overrideable',
    )
    ops = (getattr(torch.ops.aten, name, None) for name in names)
    return {op: count for op in ops if op is not None}


def _sum_parts(tree: Node) -> dict[str, dict[str, int]]:
    """Parameters and FLOPs of the parts that the paper names, the fusion apart."""
    parts = {
        child.name: dict(params=child.params, flops=child.flops)
        for child in tree.children
        if child.params or child.flops
    }
    fusion = parts['fusion'] = _fusion_cost(tree)
    for key, value in fusion.items():
        parts['backbone'][key] -= value
    names = dict.fromkeys([*_PARTS, *parts])
    return {name: parts[name] for name in names if name in parts}


def _fusion_cost(node: Node) -> dict[str, int]:
    if isinstance(node.module, StageFusion):
        return dict(params=node.params, flops=node.flops)
    costs = [_fusion_cost(child) for child in node.children]
    return {key: sum(cost[key] for cost in costs) for key in ('params', 'flops')}


def _merge_equal(children: list[Node]) -> list[Node]:
    """Puts numbered layers that follow one another and cost the same into one node."""

    def cost(child: Node) -> tuple:
        number = child.name.rsplit('.', 1)[-1]
        below = [grandchild.params for grandchild in child.children]
        equal = (child.params, child.flops, below)
        return equal if number.isdigit() else (child.name,)

    merged = []
    for _, equal in groupby(children, cost):
        group = list(equal)
        name = group[0].name
        if len(group) > 1:
            last_number = group[-1].name.rsplit('.', 1)[-1]
            name += f' to {last_number} ({len(group)} equal)'
        merged.append(_sum_nodes(group, name))
    return merged


def _sum_nodes(group: list[Node], name: str) -> Node:
    parts = zip(*(node.children for node in group), strict=True)
    return Node(
        name,
        group[0].module,
        sum(node.params for node in group),
        sum(node.flops for node in group),
        [_sum_nodes(list(part), part[0].name) for part in parts],
    )
