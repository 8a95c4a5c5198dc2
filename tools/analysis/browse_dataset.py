#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Draws samples as the model gets them: image, mask and expression."""

import argparse
import random
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.engine import check_data_roots
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import write_picture
from mmcadformer.utils.progress import progress_bar
from mmcadformer.visualization import draw_referring_overlay


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description='Draw samples after the transforms of the pipeline.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--output-dir', required=True, help='folder for the pictures')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument('--num', type=int, default=20, help='number of samples')
    parser.add_argument(
        '--shuffle', action='store_true', help='samples from all over the set'
    )
    parser.add_argument('--seed', type=int, default=0, help='random seed')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.num < 1:
        parser.error('--num must be 1 or more')
    return args


def draw_sample(sample: dict) -> np.ndarray:
    """Draws what the pipeline returned, as RGB uint8."""
    image = mmcv.bgr2rgb(np.ascontiguousarray(sample['inputs'].permute(1, 2, 0)))
    data_sample = sample['data_samples']
    mask = data_sample.gt_sem_seg.data.squeeze(0).numpy()
    if mask.shape != image.shape[:2]:
        # Test pipelines keep the truth at the original size.
        image = mmcv.imresize(image, mask.shape[::-1])
    return draw_referring_overlay(
        image,
        data_sample.expression,
        truth=mask,
        remark=data_sample.metainfo.get('kind', ''),
    )


def main() -> None:
    """Draws."""
    args = parse_args()
    with user_errors():
        cfg = read_config(args.config, args.cfg_options)
        check_data_roots(cfg, [args.split])
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        dataset = DATASETS.build(cfg[f'{args.split}_dataloader'].dataset)
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    count = min(args.num, len(dataset))
    indices = list(range(count))
    if args.shuffle:
        indices = sorted(random.sample(range(len(dataset)), count))
    for index in progress_bar(indices, count):
        sample = dataset[index]
        name = f'{index:06d}_{Path(sample["data_samples"].img_path).stem}.png'
        drawn = draw_sample(sample)
        write_picture(Path(args.output_dir) / name, mmcv.rgb2bgr(drawn))
    print(f'{count} of {len(dataset)} samples drawn in {args.output_dir}')


if __name__ == '__main__':
    main()
