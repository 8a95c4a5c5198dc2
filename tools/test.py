#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Tests a model: mIoU, oIoU and precision, in total and by category."""

import argparse
from contextlib import ExitStack
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from mmcadformer.apis import load_checkpoint
from mmcadformer.apis.runtimes import open_exported
from mmcadformer.engine import (
    check_data_roots,
    check_loaders,
    end_processes,
    find_metric,
    is_first_process,
    prepare_cpu_processes,
    read_run_config,
    unwrapped,
)
from mmcadformer.evaluation import PROTOCOLS
from mmcadformer.utils.command_line import (
    add_amp_option,
    add_cfg_options,
    add_data_options,
    add_runner_options,
    add_runtime_option,
    disk_errors,
    user_errors,
)
from mmcadformer.utils.files import check_writable, is_exported, write_json
from mmcadformer.utils.garbage import settle
from mmcadformer.utils.lock import locked
from mmcadformer.utils.precision import choose_amp, describe_amp


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description='Test a referring segmentor.')
    add_runner_options(parser)
    parser.add_argument(
        'checkpoint', help='.pth or .safetensors; or an exported .xml or .onnx file'
    )
    add_runtime_option(parser)
    parser.add_argument(
        '--protocol',
        choices=[*PROTOCOLS],
        help="'exact': at the images' own size; 'released': as the authors' test "
        'scripts do, to compare with published tables (default: what the config says)',
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
    add_amp_option(parser)
    add_data_options(parser)
    add_cfg_options(
        parser,
        'override config keys, e.g. test_dataloader.dataset.split=val',
    )
    return parser.parse_args()


def build_config(args: argparse.Namespace) -> Config:
    """Puts the command line into the config and checks what can be checked early.

    Raises:
        FileNotFoundError: If config, checkpoint or data aren't there.
        ValueError: If the config can't do what an option asks for.
    """
    cfg = read_run_config(args)
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {args.checkpoint} does not exist')
    if args.runtime is not None and not is_exported(args.checkpoint):
        raise ValueError(
            f'--runtime {args.runtime} runs files of tools/export.py, not '
            f'{args.checkpoint}'
        )
    # The checkpoint is loaded here, by a reader that runs no code from it.
    cfg.load_from, cfg.resume = None, False
    if args.protocol is not None:
        metric = find_metric(cfg, '--protocol')
        metric.pop('eval_size', None)  # the old name
        metric['protocol'] = args.protocol
    if args.out is not None:
        names = ('ReferringIoUMetric', 'GeneralizedReferringMetric')
        metric = find_metric(cfg, '--out', names)
        metric.update(output_file=args.out, save_rle=args.save_masks)
        check_writable(args.out)
    elif args.save_masks:
        raise ValueError('--save-masks needs --out')
    if args.show_dir is not None:
        hook = cfg.default_hooks.get('visualization')
        if hook is None or hook['type'] != 'ReferringVisualizationHook':
            raise ValueError(
                '--show-dir needs default_hooks.visualization.type='
                "'ReferringVisualizationHook' in the config"
            )
        check_writable(Path(args.show_dir) / 'picture.png')
        hook.update(draw=True, show_dir=args.show_dir, interval=args.show_interval)
    if args.amp:
        set_precision(cfg, args.amp)
    check_data_roots(cfg, ['test'])
    return cfg


def set_precision(cfg: Config, amp: str) -> None:
    """Has the network run in mixed precision, and says which."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    settings = dict(cfg.model.get('test_cfg') or dict(mode='whole'))
    cfg.model.test_cfg = dict(settings, amp=choose_amp(amp, device))
    if is_first_process():
        print(describe_amp(amp, device))


def main() -> None:
    """Tests."""
    args = parse_args()
    with ExitStack() as ended:
        with user_errors():
            cfg = build_config(args)
            if args.out is not None and is_first_process():
                out = Path(args.out)
                ended.enter_context(locked(out.parent, out.name))
            prepare_cpu_processes(cfg)
        with user_errors(KeyError, TypeError):
            runner = Runner.from_cfg(cfg)
            check_loaders(runner, ['test'])
            if is_exported(args.checkpoint):
                model = runner.model = open_exported(args.checkpoint, args.runtime)
                model.amp = cfg.model.get('test_cfg', {}).get('amp')
            else:
                model = unwrapped(runner.model)
                load_checkpoint(model, args.checkpoint)
        settle()
        with disk_errors(cfg.work_dir):
            metrics = runner.test()
            if args.out is not None and is_main_process():
                facts = dict(
                    config=args.config,
                    checkpoint=args.checkpoint,
                    precision=getattr(model, 'precision', 'float32'),
                )
                file = Path(args.out).with_suffix('.metrics.json')
                write_json(file, dict(facts, metrics=metrics))
        end_processes()


if __name__ == '__main__':
    main()
