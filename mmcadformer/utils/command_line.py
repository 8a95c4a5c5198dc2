# SPDX-License-Identifier: Apache-2.0
"""What the commands have in common; imports MMEngine."""

import argparse

from mmengine.config import DictAction


def add_cfg_options(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    help: str = 'override config keys',
) -> None:
    """Adds MMEngine's ``--cfg-options KEY=VALUE...`` to a command line.

    Args:
        parser: Parser or group, extended in place.
        help: What ``--help`` says.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help=help,
    )


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--data-root`` and ``--data-name``, which point a config to other data.

    Args:
        parser: Extended in place.
    """
    parser.add_argument(
        '--data-root', metavar='FOLDER', help='root folder of all data sets'
    )
    parser.add_argument(
        '--data-name', metavar='NAME', help='name of the data sets below the root'
    )
