#!/usr/bin/env python
# SPDX-License-Identifier: Apache-2.0
"""Segments what sentences name in images.

infer.py IMAGE "EXPRESSION" ["EXPRESSION"...] --config C --checkpoint W
infer.py IMAGE "EXPRESSION" --model NAME      a released model, see docs/model_zoo.md
infer.py IMAGE "EXPRESSION" --checkpoint model.xml      a file of tools/export.py
infer.py IMAGE IMAGE... "EXPRESSION"          one sentence for all images
infer.py IMAGE... "EXPRESSION"...             as many sentences as images
infer.py --list FILE                          a file of pairs
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# What runs a model is imported when the command line is found to be right.
os.environ['MMCADFORMER_REGISTER'] = 'later'
import mmcadformer
from mmcadformer.utils.command_line import (
    add_amp_option,
    add_cfg_options,
    add_model_options,
    add_reading_options,
    check_model_options,
    given_reading,
    user_errors,
)
from mmcadformer.utils.files import check_writable, is_exported, write_json
from mmcadformer.utils.garbage import no_collection, settle
from mmcadformer.utils.image_files import IMAGE_SUFFIXES
from mmcadformer.utils.plain_data import parse_json, read_lines
from mmcadformer.utils.progress import progress_bar
from mmcadformer.utils.text import shortened, visible_text

os.environ.pop('MMCADFORMER_REGISTER', None)

if TYPE_CHECKING:
    from mmcadformer.apis import ReferringInferencer, ReferringResult
    from mmcadformer.apis.explanation import Explanation
    from mmcadformer.apis.inferencer import ImageInput, OnBad, Pair

# One word with an ending, or from the root, the home or a folder above or beside.
_PATH = re.compile(r'(?:\.{0,2}/|~)\S*|\S*[^\s.]\.[A-Za-z][A-Za-z0-9]{1,3}')
_SHOWN = 5  # cut sentences that are printed


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'inputs', nargs='*', help='images or folders of images, then expressions'
    )
    parser.add_argument(
        '--list',
        metavar='FILE',
        help='pairs: .jsonl with {"image": ..., "expression": ...} per line, or '
        'lines of image, tab, expression. Paths are relative to the file',
    )
    add_model_options(parser)
    parser.add_argument('--out-dir', default='outputs', help='default: outputs')
    parser.add_argument('--device', help="'cpu', 'cuda'...; default: CUDA if there")
    parser.add_argument('--batch-size', type=int, default=1)
    add_amp_option(parser)
    parser.add_argument(
        '--explain',
        action='store_true',
        help='also write which word pulled which region: a grid of heat maps and '
        'their numbers',
    )
    parser.add_argument(
        '--skip-bad',
        action='store_true',
        help="leave out what can't be read and go on; counted at the end",
    )
    add_reading_options(parser.add_argument_group('reading of pictures'))
    add_cfg_options(parser)
    return parser.parse_args()


def collect_pairs(inputs: list[str], list_file: str | None) -> list[Pair]:
    """Makes pairs of an image and an expression out of the command line.

    Raises:
        FileNotFoundError: If the list or a folder's images don't exist.
        ValueError: If numbers don't match or a line can't be understood.
    """
    from mmcadformer.apis import pair_inputs

    if list_file is not None:
        if inputs:
            raise ValueError('give images and expressions, or --list, not both')
        return read_list(Path(list_file))
    images, expressions = split_inputs(inputs)
    if not images:
        raise ValueError('no image is given')
    if not expressions:
        raise ValueError(
            f'no expression is given: all of {", ".join(inputs[:3])} are images'
        )
    for text in expressions:
        check_no_path(text)
    # One sentence is for all images.
    return pair_inputs(images, expressions[0] if len(expressions) == 1 else expressions)


def split_inputs(inputs: list[str]) -> tuple[list[str], list[str]]:
    """Takes images off the front: files, folders, and names that end like images."""
    images: list[str] = []
    for position, text in enumerate(inputs):
        path = Path(text)
        # Not by Path, which raises an error for a sentence of more than 255 letters.
        if os.path.isdir(text):
            found = [p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
            if not found:
                raise FileNotFoundError(f'no image in the folder {text}')
            images += [str(file) for file in sorted(found)]
        elif os.path.isfile(text) or _ends_like_an_image(text):
            images.append(text)
        elif not images:
            raise FileNotFoundError(
                f'no image is given: {text!r} is neither an image nor a folder, which '
                'come first, then sentences'
            )
        else:
            return images, inputs[position:]
    return images, []


def _ends_like_an_image(text: str) -> bool:
    return Path(text).suffix.lower() in IMAGE_SUFFIXES


def check_no_path(text: str) -> None:
    """Raises an error for a file, or a mistyped path, in place of a sentence."""
    if os.path.isfile(text):
        raise ValueError(f'{text} is a file, but stands where sentences are expected')
    if _PATH.fullmatch(text):
        raise FileNotFoundError(
            f'{text} looks like a path, but there is no such image or folder (as a '
            'sentence, it can be given by --list)'
        )


def check_pairs(pairs: Iterable[Pair]) -> None:
    """Raises an error for an image that isn't there, or an empty sentence."""
    for path in dict.fromkeys(str(image) for image, _ in pairs):
        if '://' not in path and not os.path.isfile(path):
            raise FileNotFoundError(f'image {path} does not exist')
    for image, text in pairs:
        if not visible_text(text):
            raise ValueError(
                f'the expression for {image} is empty or no text: {text!r}'
            )


def read_list(file: Path) -> list[Pair]:
    """Reads pairs from a file; empty lines count for nothing."""
    if not file.is_file():
        raise FileNotFoundError(f'list {file} does not exist')
    pairs: list[Pair] = []
    for number, line in read_lines(file):
        try:
            if file.suffix == '.jsonl':
                entry = parse_json(line)
                image, expression = entry['image'], entry['expression']
            else:
                image, expression = line.split('\t')
        except (ValueError, KeyError, TypeError):
            form = (
                '{"image": ..., "expression": ...}'
                if file.suffix == '.jsonl'
                else 'image, tab, expression'
            )
            raise ValueError(f'{file}, line {number}: expected {form}') from None
        pairs.append((str(file.parent / image), expression))
    if not pairs:
        raise ValueError(f'{file} has no entry')
    return pairs


def main() -> None:
    """Segments and writes."""
    args = parse_args()
    with no_collection():
        mmcadformer.register()
        from mmcadformer.apis import ReferringInferencer

    skipped: list[dict] = []

    def note(image: ImageInput, expression: str, error: Exception) -> None:
        skipped.append(dict(image=str(image), expression=expression, error=str(error)))
        print(f'\nskipped: {error}', file=sys.stderr)

    with user_errors():
        pairs = collect_pairs(args.inputs, args.list)
        check_model_options(args)
        check_writable(Path(args.out_dir) / 'results.json')
        if not args.skip_bad:
            check_pairs(pairs)
        with no_collection():
            inferencer = ReferringInferencer(
                args.config,
                args.checkpoint,
                device=args.device,
                batch_size=args.batch_size,
                cfg_options=args.cfg_options,
                reading=given_reading(args),
                weights=args.weights,
                amp=args.amp,
                runtime=args.runtime,
            )
        settle()
        if args.amp or is_exported(args.checkpoint):
            print(inferencer.precision)
        if args.explain:
            inferencer.check_explains()
        find = explain if args.explain else ReferringInferencer.predict
        results = find(inferencer, pairs, on_bad=note if args.skip_bad else None)
        records = write(results, len(pairs), Path(args.out_dir))
        path = Path(args.out_dir) / 'results.json'
        write_json(path, dict(results=records, skipped=skipped))
    report_cut(records)
    report_absent(records)
    print(f'{len(records)} results in {args.out_dir}, listed in {path}')
    if skipped:
        print(f'{len(skipped)} of {len(pairs)} inputs were skipped, see {path}')
    if not records:
        sys.exit(1)


def report_cut(records: Iterable[dict]) -> None:
    """Says which sentences the model didn't read to their end."""
    cut = {record['expression']: record['read'] for record in records if record['read']}
    for expression, read in list(cut.items())[:_SHOWN]:
        print(f'cut: {expression!r} is longer than the model reads; it read {read!r}')
    if len(cut) > _SHOWN:
        print(f'cut: ... {len(cut) - _SHOWN} more; see "read" in the results')


def report_absent(records: Iterable[dict]) -> None:
    """Says what a model with a presence head has not found."""
    for record in records:
        presence = record.get('presence')
        if presence is not None and not presence['found']:
            print(
                f'not found, {presence["score"]:.2f}: {record["expression"]!r} '
                f'in {record["image"]}'
            )


def explain(
    inferencer: ReferringInferencer, pairs: Iterable[Pair], on_bad: OnBad | None
) -> Iterator[Explanation]:
    """As :meth:`ReferringInferencer.predict`, but gives explanations."""
    for image, expression in pairs:
        try:
            yield inferencer.explain(image, expression)
        except (FileNotFoundError, ValueError) as error:
            if on_bad is None:
                raise
            on_bad(image, expression, error)


def write(
    results: Iterable[ReferringResult | Explanation], total: int, out_dir: Path
) -> list[dict]:
    """Writes each result as it comes and shows the progress."""
    from mmcadformer.apis.explanation import Explanation

    records, told = [], set()
    for number, result in enumerate(progress_bar(results, total)):
        name = f'{number:04d}_{shortened(Path(result.image_path or "").stem)}'
        records.append(result.save(out_dir, name))
        found = result.result if isinstance(result, Explanation) else result
        for note in found.notes:
            if (result.image_path, note) not in told:
                told.add((result.image_path, note))
                print(f'{result.image_path}: {note}', file=sys.stderr)
    return records


if __name__ == '__main__':
    main()
