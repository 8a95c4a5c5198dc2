#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Shows where the time of reading data goes: index, memory, each transform.

    profile_pipeline.py configs/cadformer_swinb_rrsisd.py --split train

How many images several workers read per second: benchmark.py CONFIG --mode data.
"""

import argparse
import resource
import sys
import time
from collections import defaultdict

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from tabulate import tabulate

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.engine import check_data_roots
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import write_json


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument(
        '--num', type=int, default=200, help='samples (default: %(default)s)'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', metavar='FILE', help='write the numbers as JSON')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.num < 1:
        parser.error('--num must be 1 or more')
    return args


def peak_memory() -> float:
    """The most memory that this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == 'darwin' else 1024)


def build(cfg: Config, split: str) -> tuple[BaseDataset, dict[str, float]]:
    """Builds a data set; seconds, and MiB that the process grew by."""
    memory, start = peak_memory(), time.perf_counter()
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    seconds = time.perf_counter() - start
    return dataset, dict(
        records=len(dataset), seconds=seconds, mib=peak_memory() - memory
    )


def locate(dataset: BaseDataset, index: int) -> tuple[BaseDataset, int]:
    """The data set of a concatenation that an index belongs to, and its own."""
    while hasattr(dataset, 'datasets'):
        part, index = dataset._get_ori_dataset_idx(index)
        dataset = dataset.datasets[part]
    return dataset, index


def profile(dataset: BaseDataset, num: int, seed: int) -> dict[str, list[float]]:
    """Milliseconds of each transform, for samples drawn from all over the set."""
    times: dict[str, list[float]] = defaultdict(list)
    for index in np.random.default_rng(seed).integers(len(dataset), size=num):
        part, index = locate(dataset, int(index))
        start = time.perf_counter()
        data = part.get_data_info(index)
        times['(record)'].append(1000 * (time.perf_counter() - start))
        for position, transform in enumerate(part.pipeline.transforms, 1):
            start = time.perf_counter()
            data = transform(data)
            name = f'{position} {type(transform).__name__}'
            times[name].append(1000 * (time.perf_counter() - start))
    return times


def summarize(times: dict[str, list[float]]) -> list[dict]:
    """Mean, median, 90th percentile and share of the whole, of each transform."""
    total = sum(map(sum, times.values()))
    return [
        dict(
            step=name,
            mean_ms=float(np.mean(values)),
            median_ms=float(np.median(values)),
            p90_ms=float(np.percentile(values, 90)),
            share=100 * sum(values) / total,
        )
        for name, values in times.items()
    ]


def main() -> None:
    """Measures and prints."""
    args = parse_args()
    with user_errors():
        cfg = read_config(args.config, args.cfg_options)
        check_data_roots(cfg, [args.split])
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        # As in a worker of a loader.
        cv2.setNumThreads(0)
        np.random.seed(args.seed)
        dataset, index = build(cfg, args.split)
        steps = summarize(profile(dataset, args.num, args.seed))
    total = sum(step['mean_ms'] for step in steps)
    print(
        f'index: {index["records"]} records in {index["seconds"]:.2f} s, '
        f'{index["mib"]:.0f} MiB'
    )
    headers = ['step', 'mean ms', 'median ms', 'p90 ms', 'share %']
    rows = [list(step.values()) for step in steps]
    floats = ['g', '.2f', '.2f', '.2f', '.1f']
    print(tabulate(rows, headers, tablefmt='psql', floatfmt=floats))
    print(f'{total:.2f} ms per sample, {1000 / total:.1f} samples/s in one process')
    if args.json:
        content = dict(index=index, steps=steps, ms_per_sample=total)
        write_json(args.json, content)


if __name__ == '__main__':
    main()
