#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Writes a trained model to a file that runs without this package.

    export.py CONFIG CHECKPOINT --out model.onnx                   ONNX, one image size
    export.py CONFIG CHECKPOINT --out model.onnx --dynamic-size    ONNX, any image size
    export.py CONFIG CHECKPOINT --out model.pt2                    torch.export

The result is compared with the model before it gets its name.
"""

import argparse
from pathlib import Path

from mmcadformer.apis import init_model
from mmcadformer.export import export_model
from mmcadformer.utils.command_line import (
    add_cfg_options,
    add_model_options,
    check_model_options,
    exit_on_sigterm,
    user_errors,
)
from mmcadformer.utils.config import find_resize, input_shape


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser, positional=True)
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('model.onnx'),
        metavar='FILE',
        help='.onnx, or .pt2 for torch.export; default: model.onnx',
    )
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help="height and width; default: the config's test pipeline",
    )
    parser.add_argument(
        '--dynamic-size', action='store_true', help='leave height and width open'
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.shape is not None:
        args.shape = tuple(args.shape * 2 if len(args.shape) == 1 else args.shape)
        if len(args.shape) != 2 or min(args.shape) < 32:
            parser.error(
                '--shape takes height and width, or one number for both, of '
                '32 pixels or more'
            )
    return args


def other_sizes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """A smaller, a much larger and an odd size, of different proportions."""
    height, width = shape
    return [
        (max(32, height // 2), max(32, width * 3 // 4)),
        (height * 3 // 2, width + 32),
        (height + 5, max(33, width - 11)),
    ]


def main() -> None:
    """Exports and says what was compared."""
    args = parse_args()
    out = args.out
    with user_errors(RuntimeError):
        check_model_options(args)
        model = init_model(
            args.config, args.checkpoint, 'cpu', args.cfg_options, args.weights
        )
        shape = args.shape or input_shape(model.cfg)
        with exit_on_sigterm():
            results = export_model(
                model,
                out,
                shape,
                dynamic_size=args.dynamic_size,
                antialias=find_resize(model.cfg).get('backend') == 'pillow',
                check_sizes=other_sizes(shape),
            )
    for result in results:
        height, width = result.size
        plural = 's' if result.batch > 1 else ''
        print(
            f'{result.batch} expression{plural} of up to {result.tokens} tokens, '
            f'{height} x {width} px: probabilities differ by {result.difference:.1e}'
        )
    size = out.stat().st_size / 2**20
    print(f'{out} ({size:.1f} MiB), {out.stem}.json and {out.stem}.tokenizer.json')


if __name__ == '__main__':
    main()
