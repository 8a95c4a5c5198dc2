# SPDX-License-Identifier: Apache-2.0
"""What every referring segmentation dataset has in common."""

from __future__ import annotations

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from mmengine import load
from mmengine.fileio import get_file_backend
from mmengine.fileio.backends import LocalBackend
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset

from .formats import LayoutReader
from .inspection.suspicion import ambiguous_expressions, repeated_ids, unusual_splits
from .records import (
    KINDS,
    AnnotationError,
    Record,
    Report,
    fail,
    files_of,
    ids_of,
    read_id_list,
)
from .targets import NO_CATEGORY, ONE, kind_of
from .variants import (
    LANGUAGES,
    absent_expressions,
    category_objects,
    merge_expressions,
    sentences_in,
)
from .variants import shuffle_expressions as shuffle

LABELS = ('background', 'target')
PALETTE = [[0, 0, 0], [255, 140, 0]]  # RGB
CATEGORIES: dict[str, tuple[str, ...]] = {
    name: tuple(names)
    for name, names in load(Path(__file__).with_name('categories.yml')).items()
}


class BaseReferringDataset(BaseSegDataset):
    """Base of the datasets whose samples are (image, expression, mask).

    A subclass says with :meth:`open_reader` how its layout is read. This class
    selects the split, leaves out what ``exclude_file`` names, checks that the
    images are there before any time is spent on training, logs what looks
    wrong but can be used, and lays out the records:

    - training (``test_mode=False``): one record per object, with all its
      sentences (:class:`ChooseExpression` draws one);
    - testing (``test_mode=True``): one record per sentence.

    A record has the keys ``img_path``, ``image_id``, ``ref_id``, ``ann_id``,
    ``category``, ``height``, ``width`` (pixels; None where the layout doesn't
    tell), ``segmentation`` (as stored, decoded by :class:`LoadReferringMask`;
    see :func:`~mmcadformer.datasets.masks.load_mask`), ``expressions``,
    ``sent_ids``, ``split``, ``dataset_name``, and MMSegmentation's
    ``seg_fields``, ``label_map``, ``reduce_zero_label``. Where sentences mean none or
    several objects, it has those of :mod:`~mmcadformer.datasets.targets` too.

    ``metainfo['categories']`` are the categories of the objects, by default those that
    occur; ``metainfo['classes']`` are those of the mask, background and target, by
    which MMSegmentation's own metrics name their rows.

    Args:
        name: Its folder below ``data_root``, and the ``dataset_name`` in records,
            reports and metrics.
        split: ``'test'`` also takes every split whose name contains it (RefCOCO's
            ``testA``, ``testB``).
        exclude_file: File with the ``ref_id``s to leave out, or the ``original_id``s
            that objects had before they were converted: a JSON list, or text with
            one per line and comments after ``#``.
            ``tools/analysis/check_dataset.py`` writes one.
        data_prefix: ``img_path`` is the image folder, absolute or below ``data_root``.
            Defaults to the layout's own.
        shuffle_expressions: Test with expressions of other objects, see
            :func:`~mmcadformer.datasets.variants.shuffle_expressions`.
        category_expressions: For training: one sample more per image and category,
            with all of its objects as the target and one of these sentences, such as
            ``'every {category}'``. It teaches what a category looks like, which takes
            long from objects that are told apart by size and place; for data whose
            images have all their objects annotated, by polygons or RLEs.
        merge_expressions: Take objects of one image that share a sentence as targets of
            one sample, see :func:`~mmcadformer.datasets.variants.merge_expressions`.
        language: Of the sentences to take, ``'en'`` or ``'zh'``; all by default.
        exhaustive: Declares that each image has all its objects of the data set's
            categories annotated.
        absent_expressions: For ``exhaustive`` data: for this share of the records, one
            sample more, whose sentence is of another image and means nothing here, see
            :func:`~mmcadformer.datasets.variants.absent_expressions`.
        strict_polygons: Refuse an object where one of its parts has fewer than three
            points. By default such a part is left out, with a note, if others are good.
        **kwargs: Further arguments of :class:`BaseSegDataset`.

    Raises:
        FileNotFoundError: An annotation file or images are missing.
        ValueError: An annotation is damaged. File and entry are named.
    """

    METAINFO: dict = {}

    def __init__(
        self,
        data_root: str,
        name: str,
        split: str = 'train',
        exclude_file: str | None = None,
        data_prefix: dict[str, str] | None = None,
        test_mode: bool = False,
        shuffle_expressions: bool = False,
        category_expressions: Sequence[str] = (),
        merge_expressions: bool = False,
        language: str | None = None,
        exhaustive: bool = False,
        absent_expressions: float = 0.0,
        strict_polygons: bool = False,
        metainfo: Mapping[str, Any] | None = None,
        lazy_init: bool = False,
        **kwargs: Any,
    ) -> None:
        self.name = name
        self.split = split
        self.exclude_file = exclude_file
        self.shuffle_expressions = shuffle_expressions
        self.category_expressions = category_expressions
        self.merge_expressions = merge_expressions
        self.language = language
        self.exhaustive = exhaustive
        self.absent_expressions = absent_expressions
        self.strict_polygons = strict_polygons
        self._check_options(test_mode)
        # The base class wants the classes of a test set before annotations
        # are read, which is where they may come from: hence both flags later.
        super().__init__(
            data_root=data_root,
            data_prefix={**self.default_prefix(), **(data_prefix or {})},
            test_mode=False,
            metainfo=self._with_classes(metainfo or {}),
            lazy_init=True,
            **kwargs,
        )
        self.test_mode = test_mode
        if not lazy_init:
            self.full_init()

    def _check_options(self, test_mode: bool) -> None:
        where, sentences = f'{self.name}/{self.split}', self.category_expressions
        if self.shuffle_expressions and not test_mode:
            raise ValueError(
                f'{where}: shuffle_expressions is a control for testing; it needs '
                'test_mode=True'
            )
        if isinstance(sentences, str):
            raise ValueError(
                f'{where}: category_expressions must be a list of sentences, got '
                f'{sentences!r}'
            )
        if sentences and test_mode:
            raise ValueError(
                f'{where}: category_expressions are for training; test data is taken '
                'as it is'
            )
        if self.language not in (None, *LANGUAGES):
            raise ValueError(f'{where}: language must be one of {LANGUAGES}')
        if not 0 <= self.absent_expressions <= 1:
            raise ValueError(
                f'{where}: absent_expressions must be in [0, 1], got '
                f'{self.absent_expressions}'
            )
        if self.absent_expressions and not self.exhaustive:
            raise ValueError(
                f'{where}: absent_expressions need exhaustive=True: all objects of the '
                'categories are annotated. Elsewhere, what is said to be absent may be '
                'there'
            )

    def _with_classes(self, metainfo: Mapping[str, Any]) -> dict[str, Any]:
        """Metainfo with the classes of the mask, which are the same for all."""
        classes = {**self.METAINFO, **metainfo}.get('classes', LABELS)
        if isinstance(classes, str) or tuple(classes) != LABELS:
            raise ValueError(
                f"{self.name}/{self.split}: metainfo['classes'] = {classes!r}: the "
                f'classes of a mask are always {LABELS}; the categories of the objects '
                "belong into metainfo['categories']"
            )
        return {**metainfo, 'classes': LABELS, 'palette': PALETTE}

    @classmethod
    def get_label_map(cls, new_classes: Sequence | None = None) -> None:
        """None: labels stay as they are."""
        return None

    def get_cat_ids(self, idx: int) -> list[int]:
        """Index of an object's category, which ``ClassBalancedDataset`` asks for.

        Empty if the category is none of ``metainfo['categories']``.
        """
        record, categories = self.get_data_info(idx), self.metainfo['categories']
        names = [t['category'] for t in record.get('targets', ())]
        found = dict.fromkeys(names or [record['category']])
        return [categories.index(name) for name in found if name in categories]

    def default_prefix(self) -> dict[str, str]:
        """``data_prefix`` of this layout."""
        raise NotImplementedError

    def open_reader(self) -> LayoutReader:
        """A new reader of the layout's files; nothing has been read of them yet."""
        raise NotImplementedError

    def expected_tree(self) -> str:
        """The folders and files that the layout consists of."""
        return ''

    def read_entries(
        self, split: str | None = None, report: Report = fail
    ) -> tuple[LayoutReader, list[Record]]:
        """A new reader, and the entries it finds.

        A missing file is a FileNotFoundError that shows the expected layout.
        """
        try:
            reader = self.open_reader()
            return reader, reader.entries(split, report)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{error}. {self.expected_tree()}') from None

    def load_objects(self) -> list[Record]:
        """Objects of :attr:`split` from disk, in the order of the file.

        Entries are selected before they are looked into, so that damage in those that
        are not used doesn't stop anyone. :meth:`load_data_list` adds keys to them.
        """
        excluded = read_id_list(self.exclude_file) if self.exclude_file else set()

        def report(error: AnnotationError) -> None:
            if not error.ids & excluded:
                fail(error)

        reader, entries = self.read_entries(self.split, report)
        chosen = self.select_refs(entries, reader.source, excluded)
        objects = [reader.make_object(entry) for entry in chosen]
        objects = self.arrange(objects)
        self._log_remarks([*reader.remarks, *ambiguous_expressions(objects)])
        self._log_kinds(objects)
        return objects

    def arrange(self, objects: list[Record]) -> list[Record]:
        """Objects with the sentences of the language, put together as they are said."""
        if self.language:
            objects = self._in_language(objects)
        return merge_expressions(objects) if self.merge_expressions else objects

    def _in_language(self, objects: list[Record]) -> list[Record]:
        assert self.language is not None
        kept = sentences_in(objects, self.language)
        count = [sum(len(o['expressions']) for o in group) for group in (kept, objects)]
        self._log(f'{count[0]} of {count[1]} sentences are in {self.language!r}')
        if not kept:
            raise ValueError(
                f'{self.name}/{self.split}: no sentence is in {self.language!r}'
            )
        return kept

    def _log_kinds(self, objects: Iterable[Record]) -> None:
        """Says how many sentences mean none or several, if any."""
        counts = Counter[str]()
        for obj in objects:
            counts[kind_of(obj)] += len(obj['expressions'])
        if set(counts) > {ONE}:
            self._log(', '.join(f'{n} x {kind}' for kind, n in sorted(counts.items())))

    def _log(self, message: str, level: int = logging.INFO) -> None:
        print_log(f'{self.name}/{self.split}: {message}', logger='current', level=level)

    def _log_remarks(self, remarks: Iterable[AnnotationError]) -> None:
        """One line in the log per kind of remark."""
        by_kind = defaultdict(list)
        for remark in remarks:
            by_kind[remark.kind].append(remark)
        for kind, found in by_kind.items():
            self._log(
                f'{KINDS[kind]} ({len(found)} x), such as {found[0]}', logging.WARNING
            )

    def load_data_list(self) -> list[Record]:
        """Records of the split (see the class)."""
        objects = self.load_objects()
        self.check_files(objects)
        self._set_categories(objects)
        records = objects
        if self.category_expressions:
            records = objects + category_objects(objects, self.category_expressions)
        if self.absent_expressions:
            absent = absent_expressions(objects, self.absent_expressions)
            objects, records = objects + absent, records + absent
        if self.test_mode:
            records = [record for obj in objects for record in _per_sentence(obj)]
        if self.shuffle_expressions:
            records = self._shuffled(records)
        common = dict(dataset_name=self.name, label_map=None, reduce_zero_label=False)
        return [dict(record, **common, seg_fields=[]) for record in records]

    def _shuffled(self, records: list[Record]) -> list[Record]:
        shuffled = shuffle(records)
        self._log(
            f'expressions shuffled within images; {len(records) - len(shuffled)} of '
            f'{len(records)} left out, whose image has no other object'
        )
        if not shuffled:
            raise ValueError(
                f'{self.name}/{self.split}: shuffle_expressions leaves nothing: no '
                'image has two objects with different expressions'
            )
        return shuffled

    def select_refs(
        self, refs: Sequence[Record], source: str, excluded: Set[str]
    ) -> list[Record]:
        """Entries of the split that are not excluded.

        ValueError where the split is unknown or empty, or an id is used twice.
        """
        chosen = [ref for ref in refs if self._in_split(ref['split'])]
        if not chosen:
            available = sorted({str(ref['split']) for ref in refs})
            raise AnnotationError(
                'split',
                f'{source}: no entry of the split {self.split!r}; available: '
                f'{", ".join(available) or "none, the file is empty"}',
            )
        self._log_remarks(unusual_splits(refs, source))
        kept = [ref for ref in chosen if not ids_of(ref) & excluded]
        if not kept:
            raise ValueError(
                f'{source}: all {len(chosen)} entries of the split '
                f'{self.split!r} are left out by {self.exclude_file}'
            )
        if len(kept) < len(chosen):
            self._log(
                f'{len(chosen) - len(kept)} of {len(chosen)} objects left out by '
                f'{self.exclude_file}'
            )
        used = {ref['ref_id'] for ref in kept}
        repeated = repeated_ids([ref for ref in refs if ref['ref_id'] in used], source)
        if repeated:
            raise repeated[0]
        return kept

    def _in_split(self, value: str) -> bool:
        return value == self.split or (self.split == 'test' and 'test' in value)

    def check_files(self, objects: Iterable[Record]) -> None:
        """FileNotFoundError that names the first few files that are missing."""
        missing = self.missing_files(objects)
        if not missing:
            return
        for folder in sorted({os.path.dirname(path) for path in missing}):
            if not os.path.isdir(folder):
                raise FileNotFoundError(
                    f'image folder {folder} of {self.name!r} does not exist. '
                    f'{self.expected_tree()}'
                )
        shown = ''.join(f'\n  {path}' for path in missing[:5])
        more = f'\n  ... {len(missing) - 5} more' if len(missing) > 5 else ''
        raise FileNotFoundError(
            f'{self.name}/{self.split}: {len(missing)} images or masks that the '
            f'annotations name are missing:{shown}{more}'
        )

    def missing_files(self, objects: Iterable[Record]) -> list[str]:
        """Images and mask files that aren't there, by one listing per folder.

        Only on a local disk: remote storages list slowly, if at all.
        """
        backend = get_file_backend(
            self.data_prefix['img_path'], backend_args=self.backend_args
        )
        if not isinstance(backend, LocalBackend):
            return []
        folders = defaultdict(set)
        for obj in objects:
            for _, path in files_of(obj):
                folders[os.path.dirname(path)].add(path)
        missing = []
        for folder, paths in folders.items():
            there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
            missing += [path for path in paths if os.path.basename(path) not in there]
        return sorted(missing)

    def _set_categories(self, objects: Iterable[Record]) -> None:
        """Takes the categories that occur, unless they are fixed."""
        if not self._metainfo.get('categories'):
            names: set[str] = set()
            for obj in objects:
                named = [target['category'] for target in obj.get('targets', ())]
                names.update(named or [obj['category']])
            self._metainfo['categories'] = tuple(sorted(names - {NO_CATEGORY}))


def _per_sentence(obj: Record) -> list[Record]:
    pairs = zip(obj['expressions'], obj['sent_ids'], strict=True)
    return [
        dict(obj, expressions=[expression], sent_ids=[sent_id])
        for expression, sent_id in pairs
    ]
