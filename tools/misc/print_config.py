#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Prints a config with everything it inherits."""

import argparse

from mmcadformer.utils.command_line import add_cfg_options, user_errors
from mmcadformer.utils.config import read_config


def main() -> None:
    """Prints."""
    parser = argparse.ArgumentParser(description='Print a config in full.')
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', help='write it to this .py, .yaml or .json file too')
    add_cfg_options(parser)
    args = parser.parse_args()
    with user_errors():
        cfg = read_config(args.config, args.cfg_options)
        print(cfg.pretty_text)
        if args.out is not None:
            cfg.dump(args.out)


if __name__ == '__main__':
    main()
