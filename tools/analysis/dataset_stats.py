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
from collections.abc import Callable
from typing import Any

from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets.inspection import (
    collect_statistics,
    format_statistics,
    plot_statistics,
    read_whole,
)
from mmcadformer.datasets.inspection.sources import (
    add_source_arguments,
    open_sources,
    result_path,
)
from mmcadformer.utils.command_line import add_work_options, user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import write_json

HINT = 'check_dataset.py lists everything that is wrong with a data set'
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
        '--no-images', action='store_true', help='open no picture: faster'
    )
    add_work_options(parser)
    return parser.parse_args()


def make_counter(
    args: argparse.Namespace,
) -> tuple[Callable[[list[str]], list[int]], int]:
    """Makes the function that counts tokens, and finds the limit.

    Raises:
        FileNotFoundError: If there is no such vocabulary.
        RuntimeError: If the config's tokenizer can't be had.
    """
    encoder: dict[str, Any] = dict(type='BertTextEncoder', max_tokens=20)
    if args.config is not None:
        cfg = read_config(args.config, args.cfg_options)
        encoder = dict(cfg.model.text_encoder)
    if args.vocab is not None or args.config is None:
        encoder.update(pretrained=None, vocab=args.vocab or 'remote_sensing')
    encoder['config'] = dict(encoder.get('config') or {}, **_SMALL)
    init_default_scope('mmseg')
    built = MODELS.build(encoder)

    def count(expressions: list[str]) -> list[int]:
        encodings = built.tokenizer.encode_batch(expressions)
        return [len(encoding.ids) for encoding in encodings]

    return count, args.max_tokens or built.max_tokens


def main() -> None:
    """Counts."""
    args = parse_args()
    with user_errors(RuntimeError, hint=HINT):
        sources = open_sources(args)
        several = len(sources) > 1
        count, max_tokens = make_counter(args)
        for dataset, excluded in sources:
            statistics = collect_statistics(
                read_whole(dataset, excluded=excluded),
                count,
                max_tokens,
                backend_args=dataset.backend_args,
                workers=args.workers,
                progress=not args.quiet,
                images=not args.no_images,
            )
            print(format_statistics(dataset.name, statistics))
            if args.json:
                path = result_path(args.json, dataset.name, several)
                write_json(path, dict(dataset=dataset.name, **statistics))
            if args.plot:
                path = result_path(args.plot, dataset.name, several)
                plot_statistics(dataset.name, statistics, path)
                print(f'The figure is in {path}')


if __name__ == '__main__':
    main()
