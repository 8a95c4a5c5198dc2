# SPDX-License-Identifier: Apache-2.0
"""Parameters and floating point operations of a model, module by module."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ..models import ReferringBackbone, ReferringSegmentor
from ..models.fusions import StageFusion
from ..utils.pretrained_config import resolve_sizes

CONVENTION = (
    'One multiply-add is two FLOPs. Counted: convolutions, matrix products and both '
    'products of attention, fused or not, for one image and one expression in '
    'evaluation mode. Not counted: norms, activations, softmax, resampling and other '
    'element-wise work. Tokens include [CLS] and [SEP].'
)
# As the paper lists them; others follow.
_PARTS = ('text_encoder', 'backbone', 'fusion', 'neck', 'decode_head')
_BERT_VOCABULARY = 30522


def without_weights(cfg: Config, tokens: int) -> Config:
    """A copy of a config whose model has random weights and takes so many tokens.

    No weights are downloaded: a text encoder with a vocabulary from a hub cuts words
    by the one in this package, and keeps the size of its embedding.
    """
    cfg = Config(cfg.to_dict())
    text_encoder = cfg.model.text_encoder
    options = dict(text_encoder.get('config') or {})
    named = text_encoder.get('pretrained') or ''
    no_vocabulary = text_encoder.get('vocab') is None
    is_bert = text_encoder.get('type') != 'TransformersTextEncoder'
    if no_vocabulary and is_bert and not (named and Path(named).is_dir()):
        # All is known then, so that no hub is asked.
        options.setdefault('vocab_size', _BERT_VOCABULARY)
        text_encoder.config = options
    resolve_sizes(cfg.model)
    if no_vocabulary:
        own = Path(named) / 'tokenizer.json'
        vocab = str(own) if own.is_file() else 'remote_sensing'
        text_encoder.update(vocab=vocab, pretrained=None)
    text_encoder.max_tokens = max(tokens, text_encoder.get('max_tokens', 20))
    return cfg


def build_without_weights(
    cfg: Config, tokens: int, device: str = 'cpu'
) -> ReferringSegmentor:
    """Builds :func:`without_weights` a model in evaluation mode, on a device."""
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    torch.manual_seed(0)
    with warnings.catch_warnings():
        # mmseg's about losses, which don't matter here.
        warnings.simplefilter('ignore', UserWarning)
        model = MODELS.build(without_weights(cfg, tokens).model)
    return model.to(device).eval()


def random_inputs(
    shape: tuple[int, int], tokens: int, batch_size: int = 1, device: str = 'cpu'
) -> dict[str, Any]:
    """Keyword arguments of a referring segmentor that takes tensors.

    Images of a height and width, each with one expression without padding.
    """
    size = (batch_size, tokens)
    return dict(
        inputs=torch.randn(batch_size, 3, *shape, device=device),
        mode='tensor',
        input_ids=torch.zeros(size, dtype=torch.long, device=device),
        text_mask=torch.ones(size, dtype=torch.bool, device=device),
    )


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
    """Counts everything for one image (height, width) and one expression.

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
    """FLOPs of one forward pass by the name of the module; '' is the whole model."""
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
    _move_fusions_out(model, flops)
    return flops


def _move_fusions_out(model: nn.Module, flops: dict[str, int]) -> None:
    """Takes the fusions out of the modules of a host that they were called inside of.

    Hooks on its stages call them, so the counter puts them down to all around.
    """
    for name, module in model.named_modules():
        if not isinstance(module, ReferringBackbone):
            continue
        for i, stage in enumerate(module.stage_names):
            fusion = flops.get(f'{name}.fusions.{i}'.lstrip('.'), 0)
            parts = f'host.{stage}'.split('.')
            for end in range(1, len(parts)):
                around = '.'.join([name, *parts[:end]]).lstrip('.')
                if around in flops:
                    flops[around] -= fusion


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
    """Rows of level, name, parameters and FLOPs for the modules below a node.

    The rows one level below a module add up to it: those with fewer than ``least``
    parameters are one row.
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
