#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Writes a trained model to a file that runs without this package.

    export.py CONFIG CHECKPOINT --out model.onnx                   ONNX, one image size
    export.py CONFIG CHECKPOINT --out model.onnx --dynamic-size    ONNX, any image size
    export.py CONFIG CHECKPOINT --out model.xml                    OpenVINO
    export.py CONFIG CHECKPOINT --out model.xml --int8             OpenVINO, in 8 bits
    export.py CONFIG CHECKPOINT --out model.pt2                    torch.export

The result is compared with the model before it gets its name. tools/infer.py,
infer_scene.py, demo.py and test.py take .onnx and .xml files as checkpoints.
"""

import argparse
from pathlib import Path

from mmengine.config import Config

from mmcadformer.apis import init_model
from mmcadformer.engine import check_data_roots, override_data
from mmcadformer.export import Quantization, draw_samples, export_model
from mmcadformer.utils.command_line import (
    add_cfg_options,
    add_data_options,
    add_model_options,
    check_model_options,
    user_errors,
)
from mmcadformer.utils.config import find_resize, input_shape

ENDINGS = dict(onnx='.onnx', openvino='.xml', torch='.pt2')


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser, positional=True, runtime=False)
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE',
        help='.onnx, .xml for OpenVINO, or .pt2 for torch.export; default: model.onnx',
    )
    parser.add_argument(
        '--format', choices=list(ENDINGS), help='instead of the ending of --out'
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
    group = parser.add_argument_group('8 bits')
    group.add_argument(
        '--int8',
        action='store_true',
        help='weights and activations in 8 bits; the range of each layer is taken from '
        'pictures and sentences of the training set',
    )
    group.add_argument(
        '--calibration-images',
        type=int,
        default=16,
        metavar='N',
        help='how many; they cost time, not memory (default: %(default)s)',
    )
    group.add_argument(
        '--keep-float',
        nargs='*',
        metavar='REGEX',
        help="layers that stay in float: expressions that match the model's names of "
        'modules, such as decode_head.conv_seg; none for none (default: the fusion of '
        'the finest stage)',
    )
    add_data_options(group)
    add_cfg_options(parser)
    args = parser.parse_args()
    ending = ENDINGS.get(args.format, '.onnx')
    args.out = args.out or Path(f'model{ending}')
    if args.format is not None and args.out.suffix != ending:
        parser.error(f'--format {args.format} writes {ending} files, not {args.out}')
    if args.calibration_images < 1:
        parser.error('--calibration-images must be 1 or more')
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


def choose_quantization(args: argparse.Namespace, cfg: Config) -> Quantization | None:
    """Samples of the training set, where 8 bits are asked for."""
    if not args.int8:
        return None
    override_data(cfg, args.data_root, args.data_name)
    check_data_roots(cfg, ['train'])
    kept = None if args.keep_float is None else tuple(args.keep_float)
    return Quantization(draw_samples(cfg, args.calibration_images), kept)


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
        results = export_model(
            model,
            out,
            shape,
            dynamic_size=args.dynamic_size,
            antialias=find_resize(model.cfg).get('backend') == 'pillow',
            check_sizes=other_sizes(shape),
            quantization=choose_quantization(args, model.cfg),
        )
    for result in results:
        height, width = result.size
        plural = 's' if result.batch > 1 else ''
        print(
            f'{result.batch} expression{plural} of up to {result.tokens} tokens, '
            f'{height} x {width} px: probabilities differ by {result.difference:.1e}'
        )
    weights = [out.with_suffix('.bin')] if out.suffix == '.xml' else []
    size = sum(file.stat().st_size for file in (out, *weights)) / 2**20
    others = [*(file.name for file in weights), f'{out.stem}.json']
    print(f'{out} ({size:.1f} MiB), {", ".join(others)} and {out.stem}.tokenizer.json')


if __name__ == '__main__':
    main()
