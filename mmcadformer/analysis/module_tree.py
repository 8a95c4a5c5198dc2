# SPDX-License-Identifier: Apache-2.0
"""What each module of a model costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn


@dataclass
class Node:
    """A module, with what it and everything below it costs."""

    name: str
    module: nn.Module
    params: int
    flops: int
    children: list[Node] = field(default_factory=list)


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
