# SPDX-License-Identifier: Apache-2.0
"""Generate SynthRS, the embedded synthetic dataset, on disk."""

import argparse

from mmcadformer.synthrs import DIFFICULTIES, generate_synthrs


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out_dir', help='root folder of the dataset')
    parser.add_argument(
        '--train',
        type=int,
        default=1200,
        metavar='N',
        help='training scenes (default: %(default)s)',
    )
    parser.add_argument(
        '--val',
        type=int,
        default=100,
        metavar='N',
        help='validation scenes (default: %(default)s)',
    )
    parser.add_argument(
        '--test',
        type=int,
        default=150,
        metavar='N',
        help='test scenes (default: %(default)s)',
    )
    parser.add_argument(
        '--image-size',
        type=int,
        default=128,
        metavar='PX',
        help='side of the images (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--difficulty', choices=list(DIFFICULTIES), default='easy')
    parser.add_argument(
        '--max-refs',
        type=int,
        default=4,
        metavar='N',
        help='most described objects of a scene (default: %(default)s)',
    )
    parser.add_argument(
        '--max-sentences',
        type=int,
        default=3,
        metavar='N',
        help='most expressions of an object (default: %(default)s)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        default=0,
        metavar='N',
        help='processes; 0 generates in this one',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a dataset made with other arguments',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bar')
    return parser.parse_args()


def main():
    args = parse_args()
    try:
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
        )
    except (ValueError, FileExistsError) as error:
        raise SystemExit(f'synthrs.py: {error}') from None
    print(f'SynthRS is in {folder}')


if __name__ == '__main__':
    main()
