# SPDX-License-Identifier: Apache-2.0
"""How commands are told which data sets to look at."""

from ...utils.command_line import add_cfg_options
from ...utils.config import read_config
from .whole import LAYOUTS, datasets_of_config, open_layout


def add_source_arguments(parser):
    """Add a config, or else a layout and folders, to a command line.

    Args:
        parser (argparse.ArgumentParser): Extended in place.
    """
    parser.add_argument(
        'config', nargs='?', help='config file, whose data sets are taken'
    )
    add_cfg_options(parser)
    group = parser.add_argument_group('instead of a config')
    add_layout_arguments(group)
    group.add_argument('--exclude-file', help='list of ids to leave out')


def add_layout_arguments(parser):
    """Add the arguments that tell a layout and its folders.

    Args:
        parser: Parser or group, extended in place.
    """
    parser.add_argument('--layout', choices=sorted(LAYOUTS), help='layout of the files')
    parser.add_argument('--data-root', help='root folder of the data')
    parser.add_argument(
        '--name', help='name of the data set; with refcoco, its folder below the root'
    )
    parser.add_argument('--ann-file', help="annotation file, if not the layout's own")
    parser.add_argument('--img-dir', help="image folder, if not the layout's own")
    parser.add_argument('--mask-dir', help="mask folder, if not the layout's own")


def open_sources(args):
    """Data sets that a command line names; nothing is read yet.

    Args:
        args (argparse.Namespace): With the arguments of
            :func:`add_source_arguments`.

    Returns:
        list[tuple[BaseReferringDataset, list[str]]]: Data sets and their
        lists of ids to leave out.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: Neither or both ways are used, or a key is missing.
    """
    if (args.config is None) == (args.layout is None):
        raise ValueError('give either a config, or --layout and --data-root')
    if args.config is None:
        return [
            (open_named_layout(args), [args.exclude_file] * bool(args.exclude_file))
        ]
    cfg = read_config(args.config, args.cfg_options)
    sources = datasets_of_config(cfg)
    if not sources:
        raise ValueError(f'{args.config} has no data set')
    return sources


def open_named_layout(args):
    """Data set that ``--layout`` and its companions name."""
    if args.data_root is None:
        raise ValueError('--layout needs --data-root')
    return open_layout(
        args.layout,
        args.data_root,
        args.name,
        args.ann_file,
        args.img_dir,
        args.mask_dir,
    )
