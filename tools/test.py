#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Tests a model: mIoU, oIoU and precision, in total and by category."""

import argparse
import json
import os
import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmcadformer.apis import load_checkpoint
from mmcadformer.engine import (
    check_data_roots,
    end_processes,
    override_data,
    prepare_cpu_processes,
)
from mmcadformer.utils.command_line import add_cfg_options, add_data_options
from mmcadformer.utils.config import read_config


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description='Test a referring segmentor.')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='.pth or .safetensors')
    parser.add_argument(
        '--work-dir',
        help="folder for logs; by default the config's, or "
        'work_dirs/<name of the config>',
    )
    parser.add_argument(
        '--out',
        metavar='FILE.jsonl',
        help='write one line of JSON per expression here, and the metrics to '
        'FILE.metrics.json',
    )
    parser.add_argument(
        '--save-masks',
        action='store_true',
        help='add both masks (RLE) to the lines of --out, for compare_results.py',
    )
    parser.add_argument('--show-dir', help='folder for pictures of the results')
    parser.add_argument(
        '--show-interval',
        type=int,
        default=1,
        metavar='N',
        help='with --show-dir: every n-th expression',
    )
    add_data_options(parser)
    add_cfg_options(
        parser,
        'override config keys, e.g. test_dataloader.dataset.split=val',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm'], default='none'
    )
    parser.add_argument(
        '--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS
    )
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def build_config(args: argparse.Namespace) -> Config:
    """Puts the command line into the config and checks what can be checked early.

    Raises:
        FileNotFoundError: If config, checkpoint or data aren't there.
        ValueError: If the config can't do what an option asks for.
    """
    cfg = read_config(args.config)
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {args.checkpoint} does not exist')
    cfg.launcher = args.launcher
    cfg.merge_from_dict(args.cfg_options or {})
    override_data(cfg, args.data_root, args.data_name)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    # The checkpoint is loaded here, by a reader that runs no code from it.
    cfg.load_from, cfg.resume = None, False
    if args.out is not None:
        write_expressions(cfg, args.out, args.save_masks)
    elif args.save_masks:
        raise ValueError('--save-masks needs --out')
    if args.show_dir is not None:
        hook = cfg.default_hooks.get('visualization')
        if hook is None or hook['type'] != 'ReferringVisualizationHook':
            raise ValueError(
                '--show-dir needs default_hooks.visualization.type='
                "'ReferringVisualizationHook' in the config"
            )
        hook.update(draw=True, show_dir=args.show_dir, interval=args.show_interval)
    check_data_roots(cfg, ['test'])
    return cfg


def write_expressions(cfg: Config, out: str, save_masks: bool) -> None:
    """Has the metric write its lines."""
    evaluator = cfg.test_evaluator
    for metric in evaluator if isinstance(evaluator, list) else [evaluator]:
        if metric['type'] == 'ReferringIoUMetric':
            metric.update(output_file=out, save_rle=save_masks)
            return
    raise ValueError(
        "--out needs a test_evaluator of type 'ReferringIoUMetric' in the config"
    )


def main() -> None:
    """Tests."""
    args = parse_args()
    try:
        cfg = build_config(args)
        prepare_cpu_processes(cfg)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'test.py: {error}')
    runner = Runner.from_cfg(cfg)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    try:
        load_checkpoint(model, args.checkpoint)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'test.py: {error}')
    metrics = runner.test()
    if args.out is not None and is_main_process():
        facts = dict(config=args.config, checkpoint=args.checkpoint, metrics=metrics)
        path = Path(args.out).with_suffix('.metrics.json')
        path.write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')
    end_processes()


if __name__ == '__main__':
    main()
