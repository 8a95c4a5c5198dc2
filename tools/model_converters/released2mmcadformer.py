#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Converts weights that the methods' authors released to the form of this package.

released2mmcadformer.py METHOD SOURCE TARGET

Every tensor of the file is placed by its name, or known to be unused. Tensors that are
unknown, missing or of another shape are named, and nothing is written. Printed last are
the --cfg-options with which a model computes what the released code does, where the
config has other values.
"""

import argparse
import sys
from pathlib import Path

import torch

import mmcadformer  # noqa: F401  (registers the components)
from mmcadformer.apis.model_zoo.released import (
    METHODS,
    build_empty_model,
    convert,
    read_released,
    read_rules,
)
from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import whole_file, write_text

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    'lavt': 'configs/lavt_swinb_rrsisd.py',
    'lgce': 'configs/lgce_swinb_rrsisd.py',
    'rmsin': 'configs/rmsin_swinb_rrsisd.py',
    'remotesam': 'configs/remotesam_swinb_rrsisd.py',
    'fianet': 'configs/fianet_swinb_rrsisd.py',
    'cadformer': 'projects/cadformer/configs/cadformer_released_swinb_rrsisd.py',
}


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('method', choices=sorted(METHODS))
    parser.add_argument('source', help='released checkpoint, .pth or .safetensors')
    parser.add_argument('target', help='file to write')
    parser.add_argument(
        '--config', help="the model's config (default: Swin-B on RRSIS-D)"
    )
    parser.add_argument('--report', help='file for the fate of each tensor')
    parser.add_argument(
        '--names',
        metavar='FILE',
        help='YAML with rules that come first, for a repository with other names; in '
        'the form of mmcadformer/apis/model_zoo/released/names.yml',
    )
    parser.add_argument(
        '--allow-extra',
        action='store_true',
        help='name tensors that nothing is known about, and leave them out',
    )
    return parser.parse_args()


def main() -> None:
    """Runs the command."""
    args = parse_args()
    with user_errors():
        rules = read_rules(args.method, args.names)
        config = read_config(args.config or ROOT / CONFIGS[args.method])
        target = build_empty_model(config).state_dict()
        state = read_released(args.source)
        new, report = convert(state, rules, target, args.allow_extra)
        if args.report:
            write_text(args.report, f'{report}\n')
        print(report.summary())
        for name in report.extra:
            print(f'left out: {name}')
        if report.problems:
            print('\n'.join(report.problems), file=sys.stderr)
            raise ValueError(
                f'{args.source} does not fit the released {args.method} in the size of '
                'the config (--config); for other names of the same layers give '
                '--names; nothing was written'
            )
        meta = dict(method=args.method, source=str(args.source), converted_by=__file__)
        with whole_file(args.target) as unfinished:
            torch.save(dict(meta=meta, state_dict=new), unfinished)
    print(f'wrote {args.target}')
    if settings := rules.differing_settings(target, config):
        options = ' '.join(f'{key}={value}' for key, value in settings.items())
        print(f'to run it as the released code does: --cfg-options {options}')


if __name__ == '__main__':
    main()
