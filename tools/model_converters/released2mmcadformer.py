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

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmcadformer  # noqa: F401  (registers the components)
from mmcadformer.apis.model_zoo.released import (
    LAYOUTS,
    Setting,
    convert,
    read_released,
)

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
    try:
        state = read_released(args.source)
        config = Config.fromfile(args.config or ROOT / CONFIGS[args.method])
        target = build_empty_model(config).state_dict()
        new, report = convert(state, args.method, target)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    if args.report:
        Path(args.report).write_text(f'{report}\n')
    print(report.summary())
    if not report.complete:
        problems = [f'unknown: {name}' for name in report.unknown]
        problems += [f'missing: {name}' for name in report.missing]
        print('\n'.join(problems), file=sys.stderr)
        sys.exit(
            f'error: {args.source} does not fit the released {args.method} as '
            'described in projects/cadformer/methods.md; nothing was written'
        )
    ordered = report.by_order()
    if ordered:
        listing = '\n'.join(f'  {a} -> {b}' for a, b in ordered)
        print(f'told apart by their order alone, please check:\n{listing}')
        if args.by_name:
            sys.exit('error: --by-name was given; nothing was written')
    meta = dict(method=args.method, source=str(args.source), converted_by=__file__)
    torch.save(dict(meta=meta, state_dict=new), args.target)
    print(f'wrote {args.target}')
    options = differing_options(LAYOUTS[args.method](target).settings, config)
    if options:
        print(f'to run it as the released code does: --cfg-options {options}')


def differing_options(settings: dict[str, Setting], config: Config) -> str:
    """Write down as command-line options what a config doesn't say.

    Args:
        settings (dict[str, Setting]): Values by their keys, with dots.
        config (Config): What they are compared with.

    Returns:
        str: ``key=value`` for those that differ or are missing, with blanks between.
    """
    plain = config.to_dict()
    return ' '.join(
        f'{key}={value}'
        for key, value in settings.items()
        if functools.reduce(lambda part, k: part.get(k, {}), key.split('.'), plain)
        != value
    )


def build_empty_model(config: Config) -> torch.nn.Module:
    """Build a model without numbers: on PyTorch's meta device.

    Args:
        config (Config): With ``model``.

    Returns:
        torch.nn.Module: Its state dict has names and shapes.
    """
    init_default_scope('mmseg')
    with torch.device('meta'), _real_linspace():
        return MODELS.build(config.model)


@contextlib.contextmanager
def _real_linspace() -> Iterator[None]:
    """MMSegmentation reads numbers from ``torch.linspace`` while it builds Swin."""
    linspace = torch.linspace
    torch.linspace = lambda *args, **kwargs: linspace(
        *args, **{**kwargs, 'device': 'cpu'}
    )
    try:
        yield
    finally:
        torch.linspace = linspace


if __name__ == '__main__':
    main()
