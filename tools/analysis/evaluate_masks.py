#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Evaluates masks that any model predicted, without its code.

    evaluate_masks.py CONFIG FOLDER --out-dir work_dirs/theirs
    evaluate_masks.py CONFIG FOLDER --pattern '{image}/{ref_id}.png' --out-dir ...
    evaluate_masks.py CONFIG results.json --split val --out-dir work_dirs/theirs

CONFIG is any config whose test data the masks are for; no model is built. Masks are
one picture an expression, or COCO results (.json), or such results one a line (.jsonl),
among them those of tools/test.py --out FILE --save-masks. Masks of the images' own size
are evaluated by the protocol 'exact', those of the network's input size by 'released'
(docs/evaluation.md).

Written to --out-dir: results.jsonl, which compare_results.py pairs with others, and
results.metrics.json; scores with bootstrap intervals, and scores by category, target
size, expression length and expression type, each as .md, .csv and .tex; evaluation.md
with all of them. Missing, doubled and mis-sized masks are named, and nothing is
written.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

import mmcadformer  # noqa: F401  (registers)
from mmcadformer import comparison as cmp
from mmcadformer.datasets.mask_files import MaskFiles
from mmcadformer.engine import check_data_roots, override_data
from mmcadformer.evaluation import PROTOCOLS
from mmcadformer.utils.command_line import (
    add_cfg_options,
    add_data_options,
    user_errors,
)
from mmcadformer.utils.config import leaf_datasets, read_config
from mmcadformer.utils.files import check_writable, write_json
from mmcadformer.utils.lock import locked


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file with the data')
    parser.add_argument('masks', type=Path, metavar='FOLDER|RESULTS')
    parser.add_argument('--out-dir', type=Path, required=True)
    parser.add_argument('--name', help='of the model, in tables (default: of the file)')
    parser.add_argument(
        '--split', help="of the data (default: the config's test split)"
    )
    parser.add_argument(
        '--protocol',
        choices=[*PROTOCOLS],
        help='refuse masks of another one (default: what the masks fit)',
    )
    parser.add_argument(
        '--pattern',
        default=cmp.PATTERN,
        help='names of the pictures below FOLDER, of dataset_name, image_id, ref_id, '
        'sent_id, ann_id, image (name of the image without its ending) and index '
        '(place in the split, from 0) in braces, such as {index:06d}.png '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--mask-threshold',
        type=float,
        default=0,
        metavar='V',
        help='for pictures of grey values: those above it are the mask',
    )
    parser.add_argument(
        '--missing',
        choices=['refuse', 'empty'],
        default='refuse',
        help='expressions without a mask are an error, or empty predictions',
    )
    parser.add_argument(
        '--save-masks',
        action='store_true',
        help='add both masks (RLE) to results.jsonl, for the pictures of '
        'compare_results.py',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bar')
    cmp.add_bootstrap_options(parser, drawn='image')
    cmp.add_breakdown_options(parser)
    add_data_options(parser)
    add_cfg_options(parser)
    return parser.parse_args(argv)


def build_config(args: argparse.Namespace) -> Config:
    """The config, pointed to the data that were asked for."""
    cfg = read_config(args.config, args.cfg_options)
    if not cfg.get('test_dataloader'):
        raise ValueError(f'{args.config} has no test_dataloader')
    override_data(cfg, args.data_root, args.data_name)
    if args.split is not None:
        for _, dataset in leaf_datasets(cfg.test_dataloader.dataset):
            dataset['split'] = args.split
    check_data_roots(cfg, ['test'])
    return cfg


def evaluate(args: argparse.Namespace, results: Path) -> cmp.MaskEvaluation:
    """Writes the result lines and metrics."""
    evaluation = cmp.evaluate_masks(
        build_config(args),
        args.masks,
        results,
        protocol=args.protocol,
        missing_are_empty=args.missing == 'empty',
        pattern=args.pattern,
        files=MaskFiles(mask_threshold=args.mask_threshold),
        save_rle=args.save_masks,
        progress=not args.quiet,
    )
    facts = dict(
        config=args.config, masks=str(args.masks), protocol=evaluation.protocol.name
    )
    path = results.with_suffix('.metrics.json')
    write_json(path, dict(facts, metrics=evaluation.metrics))
    return evaluation


def write_report(
    args: argparse.Namespace, results: Path, notes: dict[str, str]
) -> None:
    """Writes the tables and the page, and prints it."""
    methods = cmp.load_methods({args.name or args.masks.stem: [results]})
    estimates = cmp.estimate_table(methods, args.bootstrap, args.resamples, args.level)
    tables = dict(scores=estimates)
    groups = cmp.group_expressions(methods[0], args.size_edges, args.length_edges)
    for title, chosen in groups.items():
        name = f'by_{title.replace(" ", "_")}'
        tables[name] = cmp.breakdown_table(title, methods, chosen)
    for name, table in tables.items():
        cmp.write_tables(table, args.out_dir / name)
    print(cmp.write_page(args.out_dir / 'evaluation.md', [*tables.values()], notes))


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluates, writes and prints."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = parse_args(argv)
    results = args.out_dir / 'results.jsonl'
    with user_errors(name='evaluate_masks.py'):
        check_writable(results)
        with locked(args.out_dir):
            evaluation = evaluate(args, results)
            command = shlex.join(['evaluate_masks.py', *argv])
            protocol = f'{evaluation.protocol.name}, at {evaluation.protocol.place}'
            notes = dict(evaluation.notes, protocol=protocol, command=f'`{command}`')
            write_report(args, results, notes)
    print(f'Written to {args.out_dir}')


if __name__ == '__main__':
    main()
