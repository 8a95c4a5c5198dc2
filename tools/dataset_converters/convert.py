#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Converts a data set between the layouts refcoco, refsegrs and json.

    convert.py --layout refcoco --data-root data --name rrsisd --to json --out data/mine
    convert.py --layout json --data-root data/mine --to refcoco --out new --out-name m

Masks, sentences and splits stay exactly as they are. What a layout has no place for is
lost: objects without sentences (all but refcoco), categories (refsegrs).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets import BaseReferringDataset
from mmcadformer.datasets.formats import (
    IMAGE_MODES,
    check_inside,
    write_json_lines,
    write_refcoco,
    write_refsegrs,
)
from mmcadformer.datasets.inspection import read_whole
from mmcadformer.datasets.inspection.sources import (
    add_layout_arguments,
    open_named_layout,
)
from mmcadformer.datasets.records import Record, files_of
from mmcadformer.utils.command_line import add_work_options, user_errors
from mmcadformer.utils.lock import locked

HINT = (
    'tools/analysis/check_dataset.py lists all that is wrong with a data set; '
    '--exclude-file leaves entries out'
)


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_layout_arguments(parser.add_argument_group('source'))
    target = parser.add_argument_group('target')
    target.add_argument('--to', choices=['refcoco', 'refsegrs', 'json'], required=True)
    target.add_argument(
        '--out',
        required=True,
        help='root folder of the new data; with refsegrs and json, the folder itself',
    )
    target.add_argument('--out-name', help='folder below the root, with refcoco')
    target.add_argument(
        '--out-file', default='annotations.jsonl', help='file in the folder, with json'
    )
    target.add_argument(
        '--images',
        choices=['keep', *IMAGE_MODES],
        help='copy images or make links; with json, keep them where they are (default '
        'there). refsegrs always gets files of its own',
    )
    target.add_argument(
        '--images-below',
        nargs='+',
        default=[],
        metavar='FOLDER',
        help='copy images and masks that lie in these folders, too; by default only '
        "from the layout's own, --img-dir and --mask-dir",
    )
    add_work_options(parser)
    args = parser.parse_args()
    if args.layout is None:
        parser.error('--layout is needed: the layout of the source')
    if args.to == 'refcoco' and args.out_name is None:
        parser.error('--to refcoco needs --out-name')
    return args


def convert(args: argparse.Namespace) -> Path:
    """Converts; returns the place of the result."""
    dataset, excluded = open_named_layout(args)
    objects = read_whole(dataset, excluded=excluded)
    check_sources(dataset, objects, args)
    work = dict(
        backend_args=dataset.backend_args,
        workers=args.workers,
        progress=not args.quiet,
    )
    if args.to == 'refcoco':
        return write_refcoco(
            objects, args.out, args.out_name, args.images or 'copy', **work
        )
    if args.to == 'refsegrs':
        return write_refsegrs(objects, args.out, **work)
    return write_json_lines(
        objects, args.out, args.out_file, args.images or 'keep', **work
    )


def check_sources(
    dataset: BaseReferringDataset, objects: Sequence[Record], args: argparse.Namespace
) -> None:
    """Refuses to copy what isn't in the source's own folders.

    Raises:
        FileNotFoundError, ValueError: A picture or a mask is elsewhere.
    """
    copied = args.to != 'json' or args.images not in (None, 'keep')
    for obj in objects:
        for kind, path in files_of(obj):
            if kind == 'mask' or copied:
                prefix = dataset.data_prefix
                folder = prefix.get(f'{kind}_path', prefix['img_path'])
                check_inside([path], [folder, *args.images_below])


def main() -> None:
    """Converts."""
    args = parse_args()
    out = Path(args.out)
    with user_errors(hint=HINT), locked(out.parent, out.name):
        print(f'The data set is in {convert(args)}')


if __name__ == '__main__':
    main()
