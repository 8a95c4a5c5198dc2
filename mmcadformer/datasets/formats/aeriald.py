# SPDX-License-Identifier: Apache-2.0
"""Aerial-D's layout: one XML file a patch, with objects and groups of objects."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from mmengine.fileio import list_dir_or_file

from ...utils.plain_data import shorten
from ..masks import check_segmentation, rle_size
from ..records import AnnotationError, Record, Report, fail
from ..targets import ONE, SEVERAL, record_targets
from .base import LayoutReader, check_expressions, read_file
from .voc_xml import parse_annotation

SPLITS = ('train', 'val')
_FOLDERS = ('annotations', 'images')


@dataclass(kw_only=True)
class AerialDReader(LayoutReader):
    """Reads ``<split>/annotations/*.xml`` in the folder ``source``.

    An object or a group is called ``<patch>/<its id>``. A group has one mask, which
    shows several objects where its ``size`` is more than 1.
    """

    suffix: str = '.png'  # of the pictures
    expression_types: tuple[str, ...] = ()  # to take; all of them if empty

    def entries(self, split: str | None = None, report: Report = fail) -> list[Record]:
        there = [s for s in SPLITS if os.path.isdir(self._folder(s, 'annotations'))]
        if not there:
            path = os.path.join(self.source, SPLITS[0], _FOLDERS[0])
            raise FileNotFoundError(f'{path} does not exist')
        chosen = [s for s in there if split in (None, s)] or there
        return [entry for name in chosen for entry in self._of_split(name, report)]

    def _folder(self, split: str, kind: str) -> str:
        return os.path.join(self.source, split, kind)

    def _of_split(self, split: str, report: Report) -> Iterator[Record]:
        folder = self._folder(split, 'annotations')
        names = list_dir_or_file(
            folder, list_dir=False, suffix='.xml', backend_args=self.backend_args
        )
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                root = parse_annotation(read_file(path, self.backend_args))
            except ValueError as error:
                patch = os.path.splitext(name)[0]
                report(AnnotationError('file', f'{path}: {error}', patch))
                continue
            yield from self._of_patch(root, path, split)

    def _of_patch(self, root: Element, path: str, split: str) -> Iterator[Record]:
        patch = os.path.splitext(os.path.basename(path))[0]
        for tag in ('object', 'groups/group'):
            for position, element in enumerate(root.findall(tag)):
                number = _text(element, 'id') or f'{tag}-{position}'
                texts = [
                    text.text
                    for text in element.findall('expressions/expression')
                    if not self.expression_types
                    or text.get('type') in self.expression_types
                ]
                if texts:
                    yield dict(
                        ref_id=f'{patch}/{number}',
                        split=split,
                        patch=patch,
                        path=path,
                        expressions=texts,
                        category=_text(element, 'name') or _text(element, 'category'),
                        segmentation=_text(element, 'segmentation'),
                        size=_text(element, 'size') if tag != 'object' else '1',
                    )

    def make_object(self, entry: Record) -> Record:
        where = f'{entry["path"]}: {entry["ref_id"]}'
        expressions = check_expressions(entry['expressions'], where)
        segmentation, size = _mask(entry['segmentation'], where)
        target = dict(
            ann_id=entry['ref_id'],
            category=entry['category'].replace('_', ' ') or 'object',
            segmentation=segmentation,
        )
        kind = ONE if entry['size'] in ('', '1') else SEVERAL
        picture = entry['patch'] + self.suffix
        return dict(
            img_path=os.path.join(self._folder(entry['split'], 'images'), picture),
            image_id=entry['patch'],
            ref_id=entry['ref_id'],
            height=size[0],
            width=size[1],
            expressions=expressions,
            sent_ids=[f'{entry["ref_id"]}/{i}' for i in range(len(expressions))],
            split=entry['split'],
            **record_targets([target], kind),
        )


def _mask(text: str, where: str) -> tuple[dict, tuple[int | None, int | None]]:
    """RLE that is written as a Python literal, and its size."""
    try:
        rle = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise AnnotationError(
            'mask', f'{where}: segmentation is no literal: {shorten(text)}'
        ) from None
    try:
        if not isinstance(rle, dict):
            raise ValueError(f'expected an RLE, got {shorten(rle)}')
        size = rle_size(rle)
        check_segmentation(rle, size[0] or 0, size[1] or 0)
    except ValueError as error:
        raise AnnotationError('mask', f'{where}: {error}') from None
    return rle, size


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or '').strip()
