#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Converts weights that the methods' authors released to the form of this package.

released2mmcadformer.py METHOD SOURCE TARGET

Every key of the file is accounted for: used, known to be unused, or unknown; keys of
ours without a value are missing. Unknown and missing keys are errors. Layers whose
released names aren't known are recognised by their shapes and by their order; the
report says so, and --by-name refuses them. Printed last are the --cfg-options with
which a model computes what the released code does, where the config has other values.
"""

import argparse
import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers the components)
from mmcadformer.apis.model_zoo.released import (
    LAYOUTS,
    Report,
    Setting,
    convert,
    read_released,
)
from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.config import read_config
from mmcadformer.utils.files import whole_file, write_text

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    'lavt': 'configs/lavt_swinb_rrsisd.py',
    'rmsin': 'configs/rmsin_swinb_rrsisd.py',
    'fianet': 'configs/fianet_swinb_rrsisd.py',
    'cadformer': 'projects/cadformer/configs/cadformer_released_swinb_rrsisd.py',
}


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('method', choices=sorted(LAYOUTS))
    parser.add_argument('source', help='released checkpoint, .pth or .safetensors')
    parser.add_argument('target', help='file to write')
    parser.add_argument(
        '--config', help="the model's config (default: Swin-B on RRSIS-D)"
    )
    parser.add_argument('--report', help='file for the fate of each key')
    parser.add_argument(
        '--by-name',
        action='store_true',
        help='refuse layers that are told apart by their order alone',
    )
    return parser.parse_args()


def main() -> None:
    """Runs the command."""
    args = parse_args()
    with user_errors():
        state = read_released(args.source)
        config = read_config(args.config or ROOT / CONFIGS[args.method])
        target = build_empty_model(config).state_dict()
        new, report = convert(state, args.method, target)
        if args.report:
            write_text(args.report, f'{report}\n')
        print(report.summary())
        check(report, args)
    meta = dict(method=args.method, source=str(args.source), converted_by=__file__)
    with user_errors(), whole_file(args.target) as unfinished:
        torch.save(dict(meta=meta, state_dict=new), unfinished)
    print(f'wrote {args.target}')
    options = differing_options(LAYOUTS[args.method](target).settings, config)
    if options:
        print(f'to run it as the released code does: --cfg-options {options}')


def check(report: Report, args: argparse.Namespace) -> None:
    """Refuses what isn't accounted for, or only by its order.

    Raises:
        ValueError: It is so; nothing may be written.
    """
    if not report.complete:
        problems = [f'unknown: {name}' for name in report.unknown]
        problems += [f'missing: {name}' for name in report.missing]
        print('\n'.join(problems), file=sys.stderr)
        raise ValueError(
            f'{args.source} does not fit the released {args.method} as described in '
            'projects/cadformer/methods.md; nothing was written'
        )
    ordered = report.by_order()
    if ordered:
        listing = '\n'.join(f'  {a} -> {b}' for a, b in ordered)
        print(f'told apart by their order alone, please check:\n{listing}')
        if args.by_name:
            raise ValueError('--by-name was given; nothing was written')


def differing_options(settings: dict[str, Setting], config: Config) -> str:
    """Writes down as command-line options what a config doesn't say.

    Args:
        settings: Values by their keys, with dots.
        config: What they are compared with.

    Returns:
        ``key=value`` for those that differ or are missing, with blanks between.
    """
    return ' '.join(
        f'{key}={value}'
        for key, value in settings.items()
        if functools.reduce(
            lambda part, name: part.get(name, {}), key.split('.'), config.to_dict()
        )
        != value
    )


def build_empty_model(config: Config) -> torch.nn.Module:
    """Builds a model without numbers, on PyTorch's meta device: names and shapes."""
    init_default_scope('mmseg')
    with torch.device('meta'), _real_linspace():
        return MODELS.build(config.model)


@contextlib.contextmanager
def _real_linspace() -> Iterator[None]:
    """MMSegmentation reads numbers from ``torch.linspace`` while it builds Swin."""
    with mock.patch.object(
        torch, 'linspace', functools.partial(torch.linspace, device='cpu')
    ):
        yield


if __name__ == '__main__':
    main()
