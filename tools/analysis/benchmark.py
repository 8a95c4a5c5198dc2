#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Measures latency, throughput and peak memory, alone or as a ratio of variants.

    benchmark.py CONFIG                                      inference
    benchmark.py CONFIG --mode train --batch-size 2 --amp    training steps
    benchmark.py CONFIG --mode data --workers 0 2 4          reading data
    benchmark.py CONFIG --compare amp=True --compare amp=True compile=True

Each --compare is one variant: amp, compile, channels_last, batch_size, tokens, or
any config key. The plain settings are measured before and after the variants, so
that a machine which is getting slower shows.
"""

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from mmengine.config import Config, DictAction
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from tabulate import tabulate
from torch import nn
from torch.utils.data import DataLoader

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.analysis import build_without_weights, measure, random_inputs
from mmcadformer.apis import init_model
from mmcadformer.engine import BFloat16OptimWrapper, check_data_roots
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import write_json
from mmcadformer.utils.machine import device_name

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


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    name: str
    batch_size: int
    tokens: int
    amp: bool = False
    compile: bool = False
    channels_last: bool = False
    cfg_options: tuple = ()


def build_model(cfg: Config, setting: Setting, args: argparse.Namespace) -> BaseModel:
    """Builds a model with random weights, or those of the checkpoint."""
    cfg = Config(cfg.to_dict())
    cfg.merge_from_dict(dict(setting.cfg_options))
    if args.checkpoint is None:
        model = build_without_weights(cfg, setting.tokens, args.device)
    else:
        limit = cfg.model.text_encoder.get('max_tokens', 20)
        cfg.model.text_encoder.max_tokens = max(setting.tokens, limit)
        model = init_model(cfg, args.checkpoint, args.device)
    if setting.channels_last:
        # Not model.to(), which refuses models that have parameters of five axes.
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return model


def inference_step(
    model: nn.Module, setting: Setting, args: argparse.Namespace
) -> Callable[[], object]:
    """One forward pass of the network on tensors that are on the device."""
    model.eval()
    inputs = random_inputs(args.shape, setting.tokens, setting.batch_size, args.device)
    if setting.channels_last:
        inputs['inputs'] = inputs['inputs'].to(memory_format=torch.channels_last)
    run = torch.compile(model) if setting.compile else model

    @torch.no_grad()
    def step() -> object:
        with _autocast(setting.amp, args.device):
            return run(**inputs)

    return step


def training_step(
    model: BaseModel, setting: Setting, args: argparse.Namespace
) -> Callable[[], object]:
    """One step as MMEngine runs it: from uint8 images on the host to new weights."""
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    wrapper = BFloat16OptimWrapper if setting.amp else OptimWrapper
    optimizer = wrapper(torch.optim.AdamW(trained, lr=1e-6))
    # Two tokens are [CLS] and [SEP].
    expression = ' '.join(['the'] * max(1, setting.tokens - 2))
    mask = torch.zeros(1, *args.shape, dtype=torch.long)
    mask[:, : args.shape[0] // 3, : args.shape[1] // 3] = 1
    meta = dict(expression=expression, img_shape=args.shape, ori_shape=args.shape)

    def batch() -> dict:
        samples = [
            SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=mask))
            for _ in range(setting.batch_size)
        ]
        return dict(inputs=list(images), data_samples=samples)

    images = torch.randint(256, (setting.batch_size, 3, *args.shape), dtype=torch.uint8)
    run = torch.compile(model.train_step) if setting.compile else model.train_step
    return lambda: run(batch(), optim_wrapper=optimizer)


def measure_model(cfg: Config, setting: Setting, args: argparse.Namespace) -> dict:
    """Builds, measures, and frees a model."""
    model = build_model(cfg, setting, args)
    make = inference_step if args.mode == 'infer' else training_step
    step = make(model, setting, args)
    result = measure(step, args.warmup, args.iters, torch.device(args.device))
    del model, step
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    throughput = 1000 * setting.batch_size / result['mean']
    return dict(setting=setting.name, images_per_s=throughput, **result)


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
        batches = endless(loader)
        step = partial(next, batches)
        result = measure(step, args.warmup, args.iters, torch.device('cpu'))
        throughput = 1000 * loader.batch_size / result['mean']
        name = f'{workers} workers'
        rows.append(dict(setting=name, images_per_s=throughput, **result))
        del batches, loader, step
    return rows


def endless(loader: DataLoader) -> Iterator[dict]:
    """Batches without end."""
    while True:
        yield from loader


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
    rows = [measure_model(cfg, setting, args) for setting in settings]
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


def _autocast(enabled: bool, device: str) -> AbstractContextManager:
    if not enabled:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


if __name__ == '__main__':
    main()
