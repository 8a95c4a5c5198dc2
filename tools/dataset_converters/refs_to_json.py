#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Turns refs(unc).p into refs.json once, so that no pickle has to be read any more.

    refs_to_json.py "data/rrsisd/refs(unc).p"

The pickle is read without running anything in it. The data sets prefer refs.json.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from mmcadformer.datasets.formats import read_refs


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('refs', help='the pickle')
    parser.add_argument('--out', help='file to write (default: refs.json beside it)')
    return parser.parse_args()


def convert(source: Path, target: Path) -> int:
    """Writes the references as JSON.

    Returns:
        Their number.

    Raises:
        FileNotFoundError: If there is no such pickle.
        ValueError: If it can't be read, is unsafe, or holds what JSON can't.
    """
    refs = read_refs(str(source))
    try:
        text = json.dumps(refs, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{source}: {error}') from None
    unfinished = target.with_name(target.name + '.unfinished')
    unfinished.write_text(text, encoding='utf-8')
    os.replace(unfinished, target)
    return len(refs)


def main() -> None:
    """Converts."""
    args = parse_args()
    source = Path(args.refs)
    target = Path(args.out) if args.out else source.with_name('refs.json')
    try:
        count = convert(source, target)
    except (OSError, ValueError) as error:
        sys.exit(f'refs_to_json.py: {error}')
    print(f'{count} references are in {target}')


if __name__ == '__main__':
    main()
