#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Turns refs(unc).p into refs.json once, so that no pickle has to be read any more.

    refs_to_json.py "data/rrsisd/refs(unc).p"

The pickle is read without running anything in it. The data sets prefer refs.json.
"""

import argparse
import json
from pathlib import Path

from mmcadformer.datasets.formats import read_refs
from mmcadformer.utils.command_line import user_errors
from mmcadformer.utils.files import write_text


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('refs', type=Path, help='the pickle')
    parser.add_argument(
        '--out', type=Path, help='file to write (default: refs.json beside it)'
    )
    parser.add_argument(
        '--encoding',
        default='utf-8',
        help='of strings that Python 2 wrote, such as latin-1 (default: %(default)s)',
    )
    return parser.parse_args()


def convert(source: Path, target: Path, encoding: str = 'utf-8') -> int:
    """Writes the references as JSON.

    Returns:
        Their number.

    Raises:
        FileNotFoundError: If there is no such pickle.
        ValueError: If it can't be read, is unsafe, or holds what JSON can't.
    """
    refs = read_refs(str(source), encoding=encoding)
    try:
        text = json.dumps(refs, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{source}: {error}') from None
    write_text(target, text)
    return len(refs)


def main() -> None:
    """Converts."""
    args = parse_args()
    target = args.out or args.refs.with_name('refs.json')
    with user_errors():
        count = convert(args.refs, target, args.encoding)
    print(f'{count} references are in {target}')


if __name__ == '__main__':
    main()
