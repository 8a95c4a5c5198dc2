#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Counts parameters and floating point operations of a model, part by part."""

import argparse
import json

from tabulate import tabulate

from mmcadformer.analysis import CONVENTION, analyse, build_without_weights, explain
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config


def print_report(report: dict, title: str, least: int, depth: int) -> None:
    """Prints both tables."""
    modules = [
        # Not spaces, which tabulate strips.
        ('· ' * level + name.rsplit('.', 1)[-1], params / 1e6, flops / 1e9)
        for level, name, params, flops in explain(report['tree'], least, depth)
    ]
    table = tabulate(
        modules, headers=('module', 'parameters, M', 'GFLOPs'), floatfmt='.3f'
    )
    print(f'{title}\n\nModules with {least / 1e6:g} M parameters or more:\n\n{table}')
    total = dict(params=report['parameters']['total'], flops=report['flops'])
    parts = []
    for name, cost in [*report['parts'].items(), ('total', total)]:
        row = [name]
        for key, unit in (('params', 1e6), ('flops', 1e9)):
            share = cost[key] / total[key] if total[key] else 0
            row += [f'{cost[key] / unit:.2f}', f'{share:.1%}']
        parts.append(row)
    headers = ('part', 'parameters, M', 'share', 'GFLOPs', 'share')
    table = tabulate(
        parts, headers, disable_numparse=True, colalign=('left', *['right'] * 4)
    )
    print(f'\n{table}\n')
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
    add_cfg_options(parser)
    args = parser.parse_args()
    args.shape = tuple(args.shape * 2 if len(args.shape) == 1 else args.shape)
    if len(args.shape) != 2 or min(args.shape) < 32:
        parser.error('--shape takes height and width, 32 px or more')
    if args.tokens < 1:
        parser.error('--tokens must be 1 or more')
    return args


@user_errors()
def main() -> None:
    """Counts and prints."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    model = build_without_weights(cfg, args.tokens, args.device)
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
