#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Prints a config with everything it inherits."""

import argparse
import sys
from pathlib import Path

from mmengine.config import Config

from mmcadformer.utils.command_line import add_cfg_options


def main() -> None:
    """Prints."""
    parser = argparse.ArgumentParser(description='Print a config in full.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', help='write it to this .py, .yaml or .json file too')
    add_cfg_options(parser)
    args = parser.parse_args()
    if not Path(args.config).is_file():
        sys.exit(f'print_config.py: config {args.config} does not exist')
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    print(cfg.pretty_text)
    if args.out is not None:
        cfg.dump(args.out)


if __name__ == '__main__':
    main()
