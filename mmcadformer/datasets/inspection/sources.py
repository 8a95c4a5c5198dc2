# SPDX-License-Identifier: Apache-2.0
"""Data sets with all their splits: named by layout, config or command line."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmseg.registry import DATASETS

from ...utils.command_line import Parser, add_cfg_options
from ...utils.config import building, find_loader, leaf_datasets, read_config
from ...utils.plain_data import shorten
from ..mask_files import CHANNELS, MaskFiles
from ..records import AnnotationError, Record, Report, fail, ids_of, read_id_list
from .suspicion import repeated_ids, unusual_splits

if TYPE_CHECKING:
    from ..referring_dataset import BaseReferringDataset

LAYOUTS = {
    'refcoco': 'ReferringSegDataset',
    'refsegrs': 'RefSegRSDataset',
    'risbench': 'RISBenchDataset',
    'aeriald': 'AerialDDataset',
    'nwpurefer': 'NWPUReferDataset',
    'grefcoco': 'GRefCOCODataset',
    'json': 'ReferringJsonDataset',
}
_WITH_MASK_FILES = ('json', 'refsegrs')
_MASK_OPTIONS = tuple(MaskFiles.__dataclass_fields__)
# What tells the uses of one data set apart, not the data set.
_USE = frozenset(
    'split pipeline test_mode lazy_init shuffle_expressions exclude_file indices '
    'serialize_data max_refetch'.split()
)


def open_layout(
    layout: str,
    data_root: str,
    name: str | None = None,
    ann_file: str | None = None,
    img_dir: str | None = None,
    mask_dir: str | None = None,
    **options: Any,
) -> BaseReferringDataset:
    """Data set in one of the ``LAYOUTS``, whose defaults hold; nothing is read yet.

    ``options`` are keys of the layout's data set, of which None states nothing.

    Raises:
        ValueError: The layout is unknown, needs a name, or knows no such option.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'unknown layout {layout!r}; known are {", ".join(LAYOUTS)}')
    if layout == 'refcoco' and not name:
        raise ValueError(
            'the layout refcoco needs the name of the folder below its root'
        )
    prefix = _given(img_path=img_dir, mask_path=mask_dir)
    options = _given(**options)
    unknown = sorted(options) if layout not in _WITH_MASK_FILES else []
    if unknown:
        raise ValueError(f'the layout {layout} has no mask files: leave out {unknown}')
    given = _given(name=name, ann_file=ann_file, data_prefix=prefix or None, **options)
    return _build(dict(type=LAYOUTS[layout], data_root=data_root, **given))


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def datasets_of_config(cfg: Config) -> list[tuple[BaseReferringDataset, list[str]]]:
    """Data sets of a config, each once, with the ``exclude_file``s it is used with."""
    found: dict[str, tuple[dict, list[str]]] = {}
    for split in ('train', 'val', 'test'):
        loader = find_loader(cfg, split)
        if loader.get('dataset') is None:
            continue
        for _, dataset in leaf_datasets(loader['dataset']):
            same = {key: dataset[key] for key in dataset if key not in _USE}
            uses = found.setdefault(repr(sorted(same.items())), (same, []))[1]
            exclude_file = dataset.get('exclude_file')
            if exclude_file is not None and exclude_file not in uses:
                uses.append(exclude_file)
    return [(_build(same), uses) for same, uses in found.values()]


def _build(cfg: dict) -> BaseReferringDataset:
    with building(f'the data set {shorten(cfg)}'):
        return DATASETS.build(dict(cfg, lazy_init=True, pipeline=[]))


def read_whole(
    dataset: BaseReferringDataset,
    report: Report = fail,
    excluded: Collection[str] = frozenset(),
) -> list[Record]:
    """Objects of all splits; images and mask files aren't opened.

    ``report`` gets all that is wrong with the annotations or looks so.

    Raises:
        FileNotFoundError, ValueError: A file is missing or can't be read at all.
    """
    excluded = set(excluded)

    def tell(error: AnnotationError) -> None:
        if not error.ids & excluded:
            report(error)

    reader, entries = dataset.read_entries(report=tell)
    entries = [entry for entry in entries if not ids_of(entry) & excluded]
    if not entries:
        report(AnnotationError('file', f'{reader.source}: there is no usable entry'))
    repeated = repeated_ids(entries, reader.source, reader.ids_per_split)
    for remark in (*repeated, *unusual_splits(entries, reader.source)):
        report(remark)
    objects = []
    for entry in entries:
        try:
            objects.append(reader.make_object(entry))
        except AnnotationError as error:
            error.ref_id, error.original_id = entry['ref_id'], entry.get('original_id')
            report(error)
    for remark in (*reader.remarks, *reader.unused_damage(entries)):
        report(remark)
    return dataset.arrange(objects)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a config, or else a layout and folders, to a command line."""
    parser.add_argument(
        'config', nargs='?', help='config file, whose data sets are taken'
    )
    add_cfg_options(parser)
    add_layout_arguments(parser.add_argument_group('instead of a config'))


def add_layout_arguments(parser: Parser) -> None:
    """Adds the arguments that tell a layout, its folders, and what to leave out."""
    parser.add_argument('--layout', choices=sorted(LAYOUTS), help='layout of the files')
    parser.add_argument('--data-root', help='root folder of the data')
    parser.add_argument(
        '--name', help='name of the data set; with refcoco, its folder below the root'
    )
    parser.add_argument('--ann-file', help="annotation file, if not the layout's own")
    parser.add_argument('--img-dir', help="image folder, if not the layout's own")
    parser.add_argument('--mask-dir', help="mask folder, if not the layout's own")
    parser.add_argument(
        '--mask-threshold', type=float, help='mask pixels above it are the target'
    )
    parser.add_argument(
        '--mask-values', type=int, nargs='+', help='values of the target in mask files'
    )
    parser.add_argument(
        '--mask-channel', choices=CHANNELS, help='where RGBA masks have their mask'
    )
    parser.add_argument(
        '--ignore-value', type=int, help='value of mask pixels that do not count'
    )
    parser.add_argument('--exclude-file', help='list of ids to leave out')


def open_sources(
    args: argparse.Namespace,
) -> list[tuple[BaseReferringDataset, set[str]]]:
    """Data sets that a command line names, and the ids to leave out of them.

    Raises:
        FileNotFoundError, ValueError: A file is missing; neither or both ways are used.
    """
    if (args.config is None) == (args.layout is None):
        raise ValueError('give either a config, or --layout and --data-root')
    if args.config is None:
        return [open_named_layout(args)]
    sources = datasets_of_config(read_config(args.config, args.cfg_options))
    if not sources:
        raise ValueError(f'{args.config} has no data set')
    return [(dataset, _ids(files)) for dataset, files in sources]


def open_named_layout(
    args: argparse.Namespace,
) -> tuple[BaseReferringDataset, set[str]]:
    """Data set that ``--layout`` and its companions name; the ids to leave out."""
    if args.data_root is None:
        raise ValueError('--layout needs --data-root')
    names = (args.name, args.ann_file, args.img_dir, args.mask_dir)
    options = {key: getattr(args, key) for key in _MASK_OPTIONS}
    dataset = open_layout(args.layout, args.data_root, *names, **options)
    return dataset, _ids([args.exclude_file] if args.exclude_file else [])


def _ids(files: Collection[str]) -> set[str]:
    return {ref_id for file in files for ref_id in read_id_list(file)}


def result_path(path: str, name: str, several: bool) -> Path:
    """File of one data set's results; with its name in it if there are several."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.with_name(f'{file.stem}.{name}{file.suffix}') if several else file
