#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Measures latency, throughput and peak memory, alone or as a ratio of variants.

    benchmark.py CONFIG                                      inference
    benchmark.py CONFIG --mode train --batch-size 2 --amp    training steps
    benchmark.py CONFIG --mode data --workers 0 2 4          reading data
    benchmark.py CONFIG --compare amp=True --compare amp=True compile=True
    benchmark.py CONFIG --suite FOLDER                       all of it, as a page

Each --compare is one variant: amp, compile, channels_last, batch_size, tokens, or
any config key. The plain settings are measured before and after the variants, so
that a machine which is getting slower shows.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from tabulate import tabulate

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.analysis import (
    by_turns,
    measure,
    medians,
    speed_reading,
    speed_suite,
    timed,
    without_weights,
)
from mmcadformer.analysis.steps import Conditions, Setting, measure_model
from mmcadformer.engine import check_data_roots
from mmcadformer.scene import SceneSegmentor
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import write_json
from mmcadformer.utils.machine import device_name
from mmcadformer.utils.precision import has_bfloat16

# Key of a result -> title and form in the table.
COLUMNS = {
    'setting': ('setting', '{}'),
    'mean': ('mean, ms', '{:.2f}'),
    'median': ('median, ms', '{:.2f}'),
    'p90': ('90 %, ms', '{:.2f}'),
    'images_per_s': ('images/s', '{:.2f}'),
    'ratio': ('speed, ratio', '{:.3f}'),
    'memory': ('peak memory, MiB', '{:.0f}'),
}


def measure_scene(cfg: Config, machine: speed_suite.Machine) -> list[dict]:
    """A scene from file to file, in tiles that share a quarter."""
    cfg = without_weights(cfg, machine.tokens)
    rng = np.random.default_rng(0)
    side = 5 * machine.shape[0] // 2
    pixels = rng.integers(256, size=(3, side, side), dtype=np.uint8)
    kinds: dict[str, str | None] = {'float32': None}
    if has_bfloat16(machine.device):
        kinds['bfloat16'] = 'bf16'
    with TemporaryDirectory() as folder:
        file = Path(folder, 'scene.tif')
        size = dict(height=side, width=side, count=3, dtype='uint8')
        size['transform'] = rasterio.Affine.scale(0.3, -0.3)  # else it warns
        with rasterio.open(file, 'w', driver='GTiff', tiled=True, **size) as raster:
            raster.write(pixels)

        def way(amp: str | None) -> Callable[[], float]:
            run = SceneSegmentor.from_config(
                cfg, None, machine.device, tile_sizes=machine.shape[:1], amp=amp
            )
            step = partial(run, file, 'the pool', folder, restart=True, progress=False)
            return partial(timed, step, torch.device(machine.device))

        turns = by_turns({name: way(amp) for name, amp in kinds.items()}, 2)
    return [
        {
            'setting': name,
            'megapixels/s': round(pixels[0].size / milliseconds / 1000, 4),
            'ratio': round(ratio, 3),
        }
        for name, (milliseconds, ratio) in medians(turns, 'float32').items()
    ]


MEASURES: dict[str, speed_suite.Measure] = dict(
    inference=speed_suite.measure_inference,
    expressions=speed_suite.measure_expressions,
    exported=speed_suite.measure_exported,
    training=speed_suite.measure_training,
    waiting=speed_reading.measure_waiting,
    data=speed_reading.measure_data,
    scene=measure_scene,
)
"""What can be measured, for the page."""


def measure_data(cfg: Config, args: argparse.Namespace) -> list[dict]:
    """Times the data pipeline alone, for several numbers of workers."""
    rows = []
    for workers in args.workers:
        loader_cfg = cfg[f'{args.split}_dataloader'].copy()
        loader_cfg.num_workers = workers
        loader_cfg.persistent_workers = workers > 0
        if args.batch_size is not None:
            loader_cfg.batch_size = args.batch_size
        loader = Runner.build_dataloader(loader_cfg, seed=0)
        batches = speed_reading.endless(loader)
        step = partial(next, batches)
        result = measure(step, args.warmup, args.iters, torch.device('cpu'))
        throughput = 1000 * loader.batch_size / result['mean']
        name = f'{workers} workers'
        rows.append(dict(setting=name, images_per_s=throughput, **result))
        del batches, loader, step
    return rows


def parse_variant(base: Setting, options: list[str]) -> Setting:
    """Reads the KEY=VALUE pairs of one --compare.

    Raises:
        ValueError: If a pair has no '='.
    """
    changes: dict = {}
    config: dict = {}
    for option in options:
        key, separator, text = option.partition('=')
        if not separator:
            raise ValueError(f'--compare takes KEY=VALUE, not {option!r}')
        value = DictAction._parse_iterable(text)
        name = key.replace('-', '_')
        if name in ('amp', 'compile', 'channels_last', 'batch_size', 'tokens'):
            changes[name] = value
        else:
            config[key] = value
    options_ = (*base.cfg_options, *config.items())
    return replace(base, name=' '.join(options), cfg_options=options_, **changes)


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--mode', choices=['infer', 'train', 'data'], default='infer')
    parser.add_argument('--checkpoint', help='default: random weights')
    parser.add_argument(
        '--shape', type=int, nargs='+', default=[480, 480], help='height and width'
    )
    parser.add_argument('--tokens', type=int, default=20)
    parser.add_argument(
        '--batch-size', type=int, help="default: 1; with --mode data the config's"
    )
    parser.add_argument('--amp', action='store_true', help='bfloat16')
    parser.add_argument('--compile', action='store_true', help='torch.compile')
    parser.add_argument('--channels-last', action='store_true')
    parser.add_argument(
        '--compare', action='append', nargs='+', default=[], metavar='KEY=VALUE'
    )
    parser.add_argument('--warmup', type=int, default=10)
    parser.add_argument('--iters', type=int, default=50)
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu'
    )
    parser.add_argument(
        '--workers', type=int, nargs='+', default=[0, 2, 4], help='with --mode data'
    )
    parser.add_argument('--split', default='train', help='with --mode data')
    parser.add_argument('--out', metavar='FILE.json', help='write the numbers here')
    suite = parser.add_argument_group('suite')
    suite.add_argument(
        '--suite',
        metavar='FOLDER',
        help='measure all that can be had on this machine, and write '
        'speed_DEVICE.md and .json',
    )
    suite.add_argument(
        '--parts',
        nargs='+',
        choices=list(MEASURES),
        help='only these; the others stay as they are in the page (default: all)',
    )
    suite.add_argument(
        '--exported',
        nargs='+',
        default=[],
        metavar='FILE',
        help='files that tools/export.py made from --checkpoint, to measure beside it',
    )
    suite.add_argument(
        '--rounds', type=int, default=2, help='turns (default: %(default)s)'
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    args.shape = tuple(args.shape * 2 if len(args.shape) == 1 else args.shape)
    if len(args.shape) != 2:
        parser.error('--shape takes height and width')
    if args.iters < 1 or args.warmup < 0:
        parser.error('--iters must be 1 or more, --warmup 0 or more')
    return args


def run(args: argparse.Namespace) -> list[dict]:
    """Measures everything that the command line asks for."""
    cfg = read_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    if args.suite is not None:
        text = speed_suite.run_suite(cfg, args.config, args, MEASURES)
        print(text)
        return []
    if args.mode == 'data':
        check_data_roots(cfg, [args.split])
        return measure_data(cfg, args)
    base = Setting(
        'base',
        args.batch_size or 1,
        args.tokens,
        args.amp,
        args.compile,
        args.channels_last,
    )
    settings = [base, *(parse_variant(base, options) for options in args.compare)]
    if args.compare:
        settings.append(replace(base, name='base again'))
    conditions = Conditions(
        args.mode, args.shape, args.device, args.checkpoint, args.warmup, args.iters
    )
    rows = [measure_model(cfg, setting, conditions) for setting in settings]
    if args.compare:
        add_ratios(rows, [setting.batch_size for setting in settings])
    return rows


def add_ratios(rows: list[dict], batch_sizes: list[int]) -> None:
    """Compares images per second with the mean of the first and the last row.

    By the medians, which a disturbance during a few steps doesn't move.

    Args:
        rows: Results; changed in place.
        batch_sizes: Images per step of each.
    """
    speeds = [size / row['median'] for row, size in zip(rows, batch_sizes, strict=True)]
    reference = (speeds[0] + speeds[-1]) / 2
    for row, speed in zip(rows, speeds, strict=True):
        row['ratio'] = speed / reference


def main() -> None:
    """Measures and prints."""
    with user_errors():
        args = parse_args()
        rows = run(args)
        if not rows:
            return
        machine = describe_run(args)
        print(machine)
        columns = {key: form for key, form in COLUMNS.items() if key in rows[0]}
        table = [
            [form.format(row[key]) for key, (_, form) in columns.items()]
            for row in rows
        ]
        titles = [title for title, _ in columns.values()]
        print(tabulate(table, titles, tablefmt='pretty'))
        if 'ratio' in rows[0] and abs(rows[0]['ratio'] - 1) > 0.05:
            print('The machine changed its speed during the run: measure again.')
        if args.out is not None:
            facts = dict(machine=machine, arguments=vars(args), rows=rows)
            write_json(args.out, facts)


def describe_run(args: argparse.Namespace) -> str:
    """Names what the numbers hold for."""
    name = device_name('cpu' if args.mode == 'data' else args.device)
    height, width = args.shape
    what = '' if args.mode == 'data' else f', {height} x {width} px'
    return f'{args.mode}: {args.config}{what}; {name}; PyTorch {torch.__version__}'


if __name__ == '__main__':
    main()
