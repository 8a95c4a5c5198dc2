#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Chooses the presence threshold for tools/infer_scene.py on validation data.

calibrate_presence.py --config C --checkpoint W --out presence.json

The images of the validation set are taken as tiles, so scenes should be cut into
tiles of the same size on the ground. See docs/scenes.md.
"""

import argparse
import json
import os
from pathlib import Path

from mmseg.registry import DATASETS

from mmcadformer.apis import init_model
from mmcadformer.engine import check_data_roots, override_data
from mmcadformer.evaluation.presence import (
    DEFINITION,
    HEAD_DEFINITION,
    check_shares,
)
from mmcadformer.scene import ModelNetwork
from mmcadformer.scene.presence import (
    make_examples,
    score_examples,
    summarise,
)
from mmcadformer.utils.command_line import (
    add_amp_option,
    add_cfg_options,
    add_data_options,
    user_errors,
)
from mmcadformer.utils.config import leaf_datasets
from mmcadformer.utils.files import check_writable, write_text
from mmcadformer.utils.progress import progress_bar


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', required=True)
    parser.add_argument('--checkpoint', required=True, help='.pth or .safetensors')
    parser.add_argument('--out', default='presence.json', help='default: %(default)s')
    parser.add_argument(
        '--max-images', type=int, metavar='N', help='use so many images (default: all)'
    )
    parser.add_argument(
        '--max-false-alarms',
        type=float,
        metavar='SHARE',
        help='lowest threshold at which at most this share of empty tiles passes; '
        'by default the best mean of recall and rejection',
    )
    parser.add_argument(
        '--min-recall',
        type=float,
        metavar='SHARE',
        help='highest threshold at which at least this share of the others passes',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--device', help="'cpu', 'cuda'...; default: CUDA if there")
    parser.add_argument('--batch-size', type=int, default=4, metavar='N')
    add_amp_option(parser)
    parser.add_argument('--quiet', action='store_true', help='no progress bar')
    add_data_options(parser)
    add_cfg_options(
        parser,
        'override config keys, e.g. val_dataloader.dataset.data_root=FOLDER',
    )
    return parser.parse_args(argv)


def calibrate(args: argparse.Namespace) -> dict:
    """Scores examples and chooses the threshold.

    Raises:
        FileNotFoundError, ValueError: If something can't be used.
    """
    model = init_model(args.config, args.checkpoint, args.device, args.cfg_options)
    if not model.cfg.get('val_dataloader'):
        raise ValueError(f'{args.config} has no val_dataloader')
    override_data(model.cfg, args.data_root, args.data_name)
    check_data_roots(model.cfg, ['val'])
    records = []
    for _, config in leaf_datasets(model.cfg.val_dataloader.dataset):
        dataset = DATASETS.build(dict(config, test_mode=True, pipeline=[]))
        records += [dataset.get_data_info(index) for index in range(len(dataset))]
    examples = make_examples(records, args.max_images, args.seed)
    network = ModelNetwork(model, args.batch_size, args.amp)
    scored = progress_bar(
        score_examples(examples, network), len(examples), show=not args.quiet
    )
    score = DEFINITION if network.threshold is None else HEAD_DEFINITION
    result = summarise(list(scored), args.max_false_alarms, score, args.min_recall)
    return dict(
        result,
        config=os.fspath(args.config),
        checkpoint=os.fspath(args.checkpoint),
        network=network.fingerprint(),
        images=len({example.image for example in examples}),
        seed=args.seed,
    )


def main(argv: list[str] | None = None) -> None:
    """Calibrates, writes the file and reports."""
    args = parse_args(argv)
    out = Path(args.out)
    with user_errors():
        # Options that can't be used are found before hours of scoring.
        check_writable(out)
        check_shares(args.max_false_alarms, args.min_recall)
        result = calibrate(args)
        write_text(out, json.dumps(result, indent=2) + '\n')
    print(
        f'threshold {result["threshold"]:.4f}: '
        f'{result["recall"]:.1%} of the tiles with the object stay, '
        f'{result["false_alarms"]:.1%} of those without (AUROC {result["auroc"]:.3f}, '
        f'{result["images"]} images)'
    )
    for kind, numbers in result['examples'].items():
        print(f'  {kind}: {numbers["passing"]:.1%} of {numbers["count"]} stay')
    print(f'written to {out}; use it with infer_scene.py --presence {out}')


if __name__ == '__main__':
    main()
