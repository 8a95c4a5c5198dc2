#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Compares methods by their per-expression results.

    compare_results.py a.jsonl b.jsonl --out-dir work_dirs/ab
    compare_results.py LAVT=l0.jsonl LAVT=l1.jsonl ours=o0.jsonl ours=o1.jsonl ...

The files are those of tools/test.py --out; a name that occurs several times has
several seeds. The first method is the reference. Written to --out-dir: scores,
differences with bootstrap intervals, and scores with wins, ties and losses by
category, target size, expression length and expression type, each as .md, .csv and
.tex; comparison.md with all of them; and, if the files hold masks (--save-masks),
disagreements.png with the largest disagreements.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from mmcadformer import comparison as cmp
from mmcadformer.utils.command_line import split_name, user_errors


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', nargs='+', metavar='[NAME=]FILE.jsonl')
    parser.add_argument('--out-dir', type=Path, required=True)
    cmp.add_difference_options(parser)
    parser.add_argument(
        '--tie',
        type=float,
        default=0.05,
        metavar='IOU',
        help='IoU differences up to this are ties (default: 0.05)',
    )
    cmp.add_breakdown_options(parser)
    parser.add_argument(
        '--pictures', type=int, default=12, help='expressions to draw; 0 draws none'
    )
    parser.add_argument(
        '--images', type=Path, help='folder of the images, if they were moved'
    )
    parser.add_argument('--panel-width', type=int, default=280, help='pixels')
    args = parser.parse_args(argv)
    args.files = {}
    for entry in args.results:
        given, path = split_name(entry)
        name = given or Path(path).stem
        if given is None and name in args.files:
            parser.error(f'two files are called {name}: write NAME={path}')
        args.files.setdefault(name, []).append(path)
    if len(args.files) < 2:
        parser.error('give results of two or more methods')
    if args.pictures < 0 or args.panel_width < 32 or args.resamples < 1:
        parser.error(
            '--pictures must be 0 or more, --panel-width 32 or more, --resamples 1 or '
            'more'
        )
    return args


def make_tables(
    methods: list[cmp.MethodResults], args: argparse.Namespace
) -> dict[str, cmp.Table]:
    """All tables by the names of their files."""
    names = [method.name for method in methods]
    pairs = cmp.choose_pairs(names, names[0], args.pairs == 'all')
    tables = dict(
        scores=cmp.score_table(names, methods),
        differences=cmp.difference_table(
            methods, pairs, args.bootstrap, args.resamples, args.level
        ),
    )
    groups = cmp.group_expressions(methods[0], args.size_edges, args.length_edges)
    if 'target size' not in groups:
        print('No table by target size: the files were written without it.')
    for title, chosen in groups.items():
        table = cmp.breakdown_table(title, methods, chosen, args.tie)
        tables[f'by_{title.replace(" ", "_")}'] = table
    return tables


def draw(methods: list[cmp.MethodResults], args: argparse.Namespace) -> Path | None:
    """Draws the sheet of disagreements, if there are any and masks of them.

    Returns:
        The file.
    """
    if not args.pictures:
        return None
    if not all(cmp.has_masks(method) for method in methods):
        print('No pictures: test with --save-masks to have masks in the files.')
        return None
    chosen = cmp.largest_disagreements(methods, args.pictures)
    if not chosen:
        print('No pictures: the methods agree on every expression.')
        return None
    sheet = cmp.draw_sheet(methods, chosen, args.images, args.panel_width)
    path = args.out_dir / 'disagreements.png'
    if not cv2.imwrite(str(path), sheet[..., ::-1]):
        raise OSError(f'cannot write {path}')
    return path


def main(argv: Sequence[str] | None = None) -> None:
    """Compares, writes and prints."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    notes = {'command': f'`{shlex.join(["compare_results.py", *argv])}`'}
    with user_errors(name='compare_results.py'):
        methods = cmp.load_methods(args.files)
        tables = make_tables(methods, args)
        for name, table in tables.items():
            cmp.write_tables(table, args.out_dir / name)
        picture = draw(methods, args)
        if picture is not None:
            notes['pictures'] = f'[{picture.name}]({picture.name})'
        page = args.out_dir / 'comparison.md'
        print(cmp.write_page(page, list(tables.values()), notes))
    print(f'Written to {args.out_dir}')


if __name__ == '__main__':
    main()
