#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Tries whether a backbone is fit to have a fusion between its stages."""

import argparse
import sys

import torch
from tabulate import tabulate

from mmcadformer.analysis import build_without_weights, check_backbone
from mmcadformer.models import ReferringBackbone
from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config

SENTENCES = ['the ship at the pier on the left', 'a ship']


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description='Try a backbone of type ReferringBackbone or ReferringViT, with '
        'random weights and its own fusion. Weights are never downloaded.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape', type=int, nargs=2, default=[128, 128], help='height and width'
    )
    parser.add_argument(
        '--odd-shape',
        type=int,
        nargs=2,
        default=[140, 101],
        help='a size that fits no patches',
    )
    add_cfg_options(parser)
    return parser.parse_args()


@user_errors()
def main() -> None:
    """Tries it and prints what was found; exits with 1 if something doesn't hold."""
    args = parse_args()
    cfg = read_config(args.config, args.cfg_options)
    model = build_without_weights(cfg, tokens=20)
    backbone = model.backbone
    if not isinstance(backbone, ReferringBackbone):
        raise ValueError(
            f'{args.config}: model.backbone.type={cfg.model.backbone.type!r} has '
            'stages of its own; this command is for ReferringBackbone and ReferringViT'
        )
    with torch.no_grad():
        tokens = model.text_encoder.tokenize(SENTENCES)
        text = model.text_encoder(**tokens)
    findings = check_backbone(
        backbone, text, tokens['text_mask'], tuple(args.shape), tuple(args.odd_shape)
    )
    rows = [(f.name, 'ok' if f.passed else 'FAILS', f.detail) for f in findings]
    print(f'channels {backbone.channels}, strides {backbone.strides}')
    if backbone.facts.unused:
        print(f'frozen, as nothing depends on them: {", ".join(backbone.facts.unused)}')
    print(tabulate(rows))
    sys.exit(not all(f.passed for f in findings))


if __name__ == '__main__':
    main()
