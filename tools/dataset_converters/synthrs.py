#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Generates SynthRS, the embedded synthetic dataset, on disk."""

import argparse

from mmcadformer.synthrs import DIFFICULTIES, generate_synthrs
from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.lock import locked

# Option, default, placeholder, help.
_NUMBERS = (
    ('--train', 1200, 'N', 'training scenes'),
    ('--val', 100, 'N', 'validation scenes'),
    ('--test', 150, 'N', 'test scenes'),
    ('--image-size', 128, 'PX', 'side of the images'),
    ('--seed', 0, 'N', 'random seed'),
    ('--max-refs', 4, 'N', 'most described objects of a scene'),
    ('--max-sentences', 3, 'N', 'most expressions of an object'),
    ('--workers', 0, 'N', 'processes; 0 generates in this one'),
)


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out_dir', help='root folder of the dataset')
    for name, default, metavar, text in _NUMBERS:
        parser.add_argument(
            name,
            type=int,
            default=default,
            metavar=metavar,
            help=f'{text} (default: %(default)s)',
        )
    for name, text in (
        ('--several', 'share of sentences that mean several objects'),
        ('--none', 'share of sentences that mean none, in three degrees'),
    ):
        parser.add_argument(
            name,
            type=float,
            default=0.0,
            metavar='SHARE',
            help=f'{text} (default: %(default)s)',
        )
    parser.add_argument('--difficulty', choices=list(DIFFICULTIES), default='easy')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a dataset made with other arguments',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bar')
    return parser.parse_args()


def main() -> None:
    """Generates."""
    args = parse_args()
    with user_errors(), locked(args.out_dir):
        folder = generate_synthrs(
            args.out_dir,
            num_scenes=dict(train=args.train, val=args.val, test=args.test),
            image_size=args.image_size,
            seed=args.seed,
            difficulty=args.difficulty,
            num_workers=args.workers,
            progress=not args.quiet,
            max_refs=args.max_refs,
            max_sentences=args.max_sentences,
            overwrite=args.overwrite,
            several=args.several,
            none=args.none,
        )
    print(f'SynthRS is in {folder}')


if __name__ == '__main__':
    main()
