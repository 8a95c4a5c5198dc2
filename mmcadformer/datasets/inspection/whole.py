# SPDX-License-Identifier: Apache-2.0
"""Data sets with all their splits, for tools that look at everything."""

from mmseg.registry import DATASETS

from ...utils.config import leaf_datasets
from ..errors import AnnotationError, fail
from ..records import ids_of
from .suspicion import repeated_ids, unusual_splits

LAYOUTS = {
    'refcoco': 'ReferringSegDataset',
    'refsegrs': 'RefSegRSDataset',
    'risbench': 'RISBenchDataset',
    'json': 'ReferringJsonDataset',
}
# What tells the uses of one data set apart, not the data set.
_USE = ('split', 'pipeline', 'test_mode', 'lazy_init', 'shuffle_expressions')
_USE = (*_USE, 'exclude_file', 'indices', 'serialize_data', 'max_refetch')


def open_layout(
    layout, data_root, name=None, ann_file=None, img_dir=None, mask_dir=None
):
    """Data set in one of the layouts; nothing is read yet.

    Args:
        layout (str): A key of ``LAYOUTS``.
        data_root (str): Root folder of the data.
        name (str, optional): Name of the data set; the layout's default.
        ann_file (str, optional): Annotation file; the layout's default.
        img_dir (str, optional): Folder of the images; the layout's default.
        mask_dir (str, optional): Folder of mask files; the layout's default.

    Returns:
        BaseReferringDataset: The data set.

    Raises:
        ValueError: The layout is unknown or needs a name.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'unknown layout {layout!r}; known are {", ".join(LAYOUTS)}')
    if layout == 'refcoco' and not name:
        raise ValueError(
            'the layout refcoco needs the name of the folder below its root'
        )
    given = dict(name=name, ann_file=ann_file)
    prefix = dict(img_path=img_dir, mask_path=mask_dir)
    prefix = {key: value for key, value in prefix.items() if value is not None}
    if prefix:
        given['data_prefix'] = prefix
    return _build(
        dict(
            type=LAYOUTS[layout],
            data_root=data_root,
            **{key: value for key, value in given.items() if value is not None},
        )
    )


def datasets_of_config(cfg):
    """Data sets that a config trains, validates and tests on.

    Args:
        cfg (Config): The config.

    Returns:
        list[tuple[BaseReferringDataset, list[str]]]: Each data set once, and
        the ``exclude_file``s that the config uses it with.
    """
    found = {}
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        if loader.get('dataset') is None:
            continue
        for _, dataset in leaf_datasets(loader['dataset']):
            same = {key: dataset[key] for key in dataset if key not in _USE}
            uses = found.setdefault(repr(sorted(same.items())), (same, []))[1]
            exclude_file = dataset.get('exclude_file')
            if exclude_file is not None and exclude_file not in uses:
                uses.append(exclude_file)
    return [(_build(dict(same)), uses) for same, uses in found.values()]


def _build(cfg):
    return DATASETS.build(dict(cfg, lazy_init=True, pipeline=[]))


def read_whole(dataset, report=fail, excluded=frozenset()):
    """Objects of all splits, with what is wrong with the annotations.

    Images and mask files aren't opened.

    Args:
        dataset (BaseReferringDataset): The data set.
        report (Callable[[AnnotationError], None]): Gets all that is wrong or
            looks so. By default, what keeps an object from being used raises.
        excluded (Collection[str]): Ids to leave out.

    Returns:
        list[dict]: Records of all objects that can be made.

    Raises:
        FileNotFoundError: An annotation file is missing.
        ValueError: An annotation file can't be read at all.
    """

    excluded = set(excluded)

    def tell(error):
        if not error.ids & excluded:
            report(error)

    reader, entries = dataset.read_entries(report=tell)
    entries = [entry for entry in entries if not ids_of(entry) & excluded]
    if not entries:
        report(AnnotationError('file', f'{reader.source}: there is no usable entry'))
    for error in repeated_ids(entries, reader.source, reader.ids_per_split):
        report(error)
    for error in unusual_splits(entries, reader.source):
        report(error)
    objects = []
    for entry in entries:
        try:
            objects.append(reader.make_object(entry))
        except AnnotationError as error:
            error.ref_id = entry['ref_id']
            error.original_id = entry.get('original_id')
            report(error)
    for error in (*reader.remarks, *reader.unused_damage(entries)):
        report(error)
    return objects
