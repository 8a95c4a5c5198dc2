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
import json
import sys
from pathlib import Path

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets.records import read_id_list
from mmcadformer.datasets.inspection import check_dataset
from mmcadformer.datasets.inspection.sources import add_source_arguments, open_sources
from mmcadformer.utils.command_line import default_workers


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
        '--workers',
        type=int,
        default=default_workers(),
        metavar='N',
        help='processes that open images; 0 works in this one (default: %(default)s)',
    )
    parser.add_argument(
        '--examples',
        type=int,
        default=3,
        metavar='N',
        help='findings shown of each kind (default: %(default)s)',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress bar')
    return parser.parse_args()


def path_for(path: str, name: str, several: bool) -> Path:
    """File of one data set's results; with its name in it if there are several."""
    path = Path(path)
    return path.with_name(f'{path.stem}.{name}{path.suffix}') if several else path


def main() -> int:
    """Checks; returns the exit code."""
    args = parse_args()
    try:
        sources = open_sources(args)
        excluded = [
            {ref_id for file in files for ref_id in read_id_list(file)}
            for _, files in sources
        ]
    except (FileNotFoundError, ValueError) as error:
        print(f'check_dataset.py: {error}', file=sys.stderr)
        return 2
    passed = True
    for (dataset, _), ids in zip(sources, excluded, strict=True):
        report = check_dataset(
            dataset,
            excluded=ids,
            images=not args.no_images,
            workers=args.workers,
            progress=not args.quiet,
        )
        print(report.to_text(args.examples))
        passed &= report.passed(args.strict)
        several = len(sources) > 1
        if args.json:
            path = path_for(args.json, dataset.name, several)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(report.to_dict(), indent=1) + '\n')
        if args.fix_list:
            path = path_for(args.fix_list, dataset.name, several)
            count = report.write_fix_list(path, args.strict, keep=ids)
            print(f'{count} ids to leave out are in {path}')
    return 0 if passed else 1


if __name__ == '__main__':
    sys.exit(main())
