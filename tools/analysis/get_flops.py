#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Counts parameters and floating point operations of a model, part by part."""

import argparse
import json
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from prettytable import PrettyTable
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.models.layers import StageFusion

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


@dataclass
class Node:
    """A module, with what it and everything below it costs."""

    name: str
    module: nn.Module
    params: int
    flops: int
    children: list['Node'] = field(default_factory=list)


def build_tree(name: str, module: nn.Module, flops: dict[str, int]) -> Node:
    """Builds the tree of modules; containers get the sum of their children."""
    children = [
        build_tree(f'{name}.{child_name}' if name else child_name, child, flops)
        for child_name, child in module.named_children()
    ]
    own = flops.get(name, sum(child.flops for child in children))
    params = sum(parameter.numel() for parameter in module.parameters())
    return Node(name, module, params, own, children)


def merge_equal(children: list[Node]) -> list[Node]:
    """Puts layers that follow one another and cost the same into one node."""
    groups: list[list[Node]] = []
    for child in children:
        last = groups[-1][-1] if groups else None
        same = (
            last is not None
            and child.name.rsplit('.', 1)[-1].isdigit()
            and (child.params, child.flops) == (last.params, last.flops)
            and [c.params for c in child.children] == [c.params for c in last.children]
        )
        if same:
            groups[-1].append(child)
        else:
            groups.append([child])
    merged = []
    for group in groups:
        name = group[0].name
        if len(group) > 1:
            last = group[-1].name.rsplit('.', 1)[-1]
            name += f' to {last} ({len(group)} equal)'
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
        children = merge_equal(node.children)
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
    device = next(model.parameters()).device
    flops = count_flops(
        model,
        inputs=torch.zeros(1, 3, *shape, device=device),
        mode='tensor',
        input_ids=torch.zeros(1, tokens, dtype=torch.long, device=device),
        text_mask=torch.ones(1, tokens, dtype=torch.bool, device=device),
    )
    tree = build_tree('', model, flops)
    return dict(
        parameters=parameter_summary(model),
        flops=tree.flops,
        parts=sum_parts(tree),
        tree=tree,
    )


def print_report(report: dict, title: str, least: int, depth: int) -> None:
    """Prints both tables."""
    parts = PrettyTable(['part', 'parameters, M', 'share', 'GFLOPs', 'share '])
    total = dict(params=report['parameters']['total'], flops=report['flops'])
    for name, cost in [*report['parts'].items(), ('total', total)]:
        row = [name]
        for key, unit in (('params', 1e6), ('flops', 1e9)):
            share = cost[key] / total[key] if total[key] else 0
            row += [f'{cost[key] / unit:.2f}', f'{share:.1%}']
        parts.add_row(row)
    modules = PrettyTable(['module', 'parameters, M', 'GFLOPs'])
    for level, name, params, flops in explain(report['tree'], least, depth):
        short = name.rsplit('.', 1)[-1]
        modules.add_row(
            ['  ' * level + short, f'{params / 1e6:.3f}', f'{flops / 1e9:.3f}']
        )
    for table in (parts, modules):
        table.align = 'r'
        table.align[table.field_names[0]] = 'l'
    print(title)
    print(f'\nModules with {least / 1e6:g} M parameters or more:\n{modules}')
    print(f'\n{parts}')
    for name, count in report['parameters'].items():
        print(f'parameters, {name.replace("_", " ")}: {count / 1e6:.2f} M')
    print(CONVENTION)


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description='Count parameters and FLOPs. Weights are never downloaded.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape', type=int, nargs='+', default=[480, 480], help='height and width'
    )
    parser.add_argument(
        '--tokens', type=int, default=20, help='length of the expression'
    )
    parser.add_argument(
        '--depth', type=int, default=6, help='levels of the module table'
    )
    parser.add_argument(
        '--least',
        type=float,
        default=1.0,
        metavar='M',
        help='the module table goes down to this many million parameters',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead')
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override config keys',
    )
    args = parser.parse_args()
    args.shape = tuple(args.shape * 2 if len(args.shape) == 1 else args.shape)
    if len(args.shape) != 2 or min(args.shape) < 32:
        parser.error('--shape takes height and width, 32 px or more')
    if args.tokens < 1:
        parser.error('--tokens must be 1 or more')
    if not Path(args.config).is_file():
        parser.error(f'config {args.config} does not exist')
    return args


def main() -> None:
    """Counts and prints."""
    args = parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = MODELS.build(cfg.model).to(args.device).eval()
    limit = getattr(model.text_encoder.bert.config, 'max_position_embeddings', None)
    if limit is not None and args.tokens > limit:
        sys.exit(f'get_flops.py: the text encoder takes up to {limit} tokens')
    report = analyse(model, args.shape, args.tokens)
    if args.json:
        rows = explain(report.pop('tree'), int(args.least * 1e6), args.depth)
        report['modules'] = [
            dict(level=level, name=name, params=params, flops=flops)
            for level, name, params, flops in rows
        ]
        facts = dict(shape=args.shape, tokens=args.tokens, convention=CONVENTION)
        print(json.dumps({**facts, **report}, indent=2))
        return
    height, width = args.shape
    title = f'{args.config}: {height} x {width} px, {args.tokens} tokens'
    print_report(report, title, int(args.least * 1e6), args.depth)


if __name__ == '__main__':
    main()
