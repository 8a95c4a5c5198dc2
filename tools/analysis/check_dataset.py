#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Checks a whole data set: annotations, images, masks, expressions, splits.

    check_dataset.py configs/cadformer_swinb_rrsisd.py
    check_dataset.py --layout refcoco --data-root data --name rrsisd
    check_dataset.py --layout json --data-root data/mine --fix-list leave-out.txt

Errors keep an object from being used. Warnings (leakage between splits, ambiguous
expressions, polygons that reach out of the image, ...) don't.

Exit code: 0 if nothing keeps any object from being used, 1 if something does (with
--strict: if there is anything to report), 2 if the command line is wrong.
"""

import argparse
import sys

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets.inspection import check_dataset
from mmcadformer.datasets.inspection.sources import (
    add_source_arguments,
    open_sources,
    result_path,
)
from mmcadformer.utils.command_line import add_work_options, user_errors
from mmcadformer.utils.files import check_writable, write_json


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_source_arguments(parser)
    parser.add_argument('--json', metavar='FILE', help='write the report as JSON')
    parser.add_argument(
        '--fix-list',
        metavar='FILE',
        help='write the ids to leave out, which the exclude_file of a data set takes',
    )
    parser.add_argument(
        '--strict', action='store_true', help='treat warnings like errors'
    )
    parser.add_argument(
        '--no-images',
        action='store_true',
        help='annotations only: takes seconds, opens no image or mask file',
    )
    parser.add_argument(
        '--examples',
        type=int,
        default=3,
        metavar='N',
        help='findings shown of each kind (default: %(default)s)',
    )
    add_work_options(parser)
    return parser.parse_args()


def main() -> int:
    """Checks; returns the exit code."""
    args = parse_args()
    with user_errors(code=2):
        sources = open_sources(args)
        several = len(sources) > 1
        for dataset, _ in sources:
            for file in filter(None, [args.json, args.fix_list]):
                check_writable(result_path(file, dataset.name, several))
    passed = True
    for dataset, excluded in sources:
        report = check_dataset(
            dataset,
            excluded=excluded,
            images=not args.no_images,
            workers=args.workers,
            progress=not args.quiet,
        )
        print(report.to_text(args.examples))
        passed &= report.passed(args.strict)
        with user_errors(code=2):
            if args.json:
                path = result_path(args.json, dataset.name, several)
                write_json(path, report.to_dict())
            if args.fix_list:
                path = result_path(args.fix_list, dataset.name, several)
                count = report.write_fix_list(path, args.strict, keep=excluded)
                print(f'{count} ids to leave out are in {path}')
    return 0 if passed else 1


if __name__ == '__main__':
    sys.exit(main())
