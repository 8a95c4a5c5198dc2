#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Counts what is in a data set: triplets, words, areas, tokens that get cut.

    dataset_stats.py configs/cadformer_swinb_rrsishr.py --plot rrsishr.png
    dataset_stats.py --layout refcoco --data-root data --name rrsishr

With a config, tokens are counted by its text encoder's tokenizer. Otherwise, or with
--vocab, by a WordPiece vocabulary: the small one of this package by default, which
cuts rare words into more pieces than BERT's.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets.records import read_id_list
from mmcadformer.datasets.inspection import (
    collect_statistics,
    format_statistics,
    plot_statistics,
)
from mmcadformer.datasets.inspection.sources import add_source_arguments, open_sources
from mmcadformer.datasets.inspection.whole import read_whole
from mmcadformer.utils.command_line import default_workers
from mmcadformer.utils.config import read_config

# Only the tokenizer is wanted: the smallest network around it.
_SMALL = dict(hidden_size=8, num_hidden_layers=0, num_attention_heads=1)


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_source_arguments(parser)
    parser.add_argument(
        '--vocab', help="vocabulary file, or 'remote_sensing' for the package's"
    )
    parser.add_argument(
        '--max-tokens', type=int, help="limit to look at (default: the config's, or 20)"
    )
    parser.add_argument('--json', metavar='FILE', help='write the numbers as JSON')
    parser.add_argument('--plot', metavar='FILE', help='draw the distributions')
    parser.add_argument(
        '--workers',
        type=int,
        default=default_workers(),
        metavar='N',
        help='processes; 0 works in this one (default: %(default)s)',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bar')
    return parser.parse_args()


def make_counter(
    args: argparse.Namespace,
) -> tuple[Callable[[list[str]], list[int]], int]:
    """Makes the function that counts tokens, and finds the limit.

    Raises:
        FileNotFoundError: If there is no such vocabulary.
        RuntimeError: If the config's tokenizer can't be had.
    """
    encoder = dict(type='BertTextEncoder', max_tokens=20)
    if args.config is not None:
        cfg = read_config(args.config, args.cfg_options)
        encoder = dict(cfg.model.text_encoder)
    if args.vocab is not None or args.config is None:
        encoder.update(pretrained=None, vocab=args.vocab or 'remote_sensing')
    encoder['config'] = dict(encoder.get('config') or {}, **_SMALL)
    init_default_scope('mmseg')
    encoder = MODELS.build(encoder)
    tokenizer = encoder.tokenizer

    def count(expressions: list[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(expressions)]

    return count, args.max_tokens or encoder.max_tokens


def path_for(path: str, name: str, several: bool) -> Path:
    """File of one data set's results; with its name in it if there are several."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f'{path.stem}.{name}{path.suffix}') if several else path


def main() -> None:
    """Counts."""
    args = parse_args()
    try:
        sources = open_sources(args)
        count, max_tokens = make_counter(args)
        for dataset, exclude_files in sources:
            excluded = {i for file in exclude_files for i in read_id_list(file)}
            statistics = collect_statistics(
                read_whole(dataset, excluded=excluded),
                count,
                max_tokens,
                backend_args=dataset.backend_args,
                workers=args.workers,
                progress=not args.quiet,
            )
            print(format_statistics(dataset.name, statistics))
            several = len(sources) > 1
            if args.json:
                path = path_for(args.json, dataset.name, several)
                content = dict(dataset=dataset.name, **statistics)
                path.write_text(json.dumps(content, indent=1) + '\n')
            if args.plot:
                path = path_for(args.plot, dataset.name, several)
                plot_statistics(dataset.name, statistics, path)
                print(f'The figure is in {path}')
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(
            f'dataset_stats.py: {error}\ncheck_dataset.py lists everything that is '
            'wrong with a data set'
        )


if __name__ == '__main__':
    main()
