# SPDX-License-Identifier: Apache-2.0
"""Reader of one JSON object per line: the layout for people's own data."""

import os.path as osp

from mmengine.fileio import get

from ..errors import AnnotationError, fail
from ..masks import check_segmentation, segments_of
from .base import (
    LEAVE_OUT,
    LayoutReader,
    check_expressions,
    check_split,
    is_id,
    is_length,
    parse_json,
)
from .refcoco import TOLERATED_OVERHANG

KEYS = frozenset(
    (
        'image',
        'expression',
        'expressions',
        'mask',
        'split',
        'category',
        'id',
        'object_id',
        'image_id',
        'sentence_ids',
        'height',
        'width',
        'attributes',
    )
)


class JsonLinesReader(LayoutReader):
    """Reads a file with one object per line (see :class:`ReferringJsonDataset`).

    Args:
        path (str): The file.
        img_dir (str): Folder that image paths are below.
        mask_dir (str): Folder that mask paths are below.
        backend_args (dict, optional): Of MMEngine's file backend.
    """

    def __init__(self, path, img_dir, mask_dir, backend_args=None):
        super().__init__(path, backend_args)
        self.img_dir = img_dir
        self.mask_dir = mask_dir

    def entries(self, split=None, report=fail):
        """Entries of the file, with ``ref_id`` and ``line`` added."""
        data = get(self.source, backend_args=self.backend_args)
        entries = []
        for number, line in enumerate(data.split(b'\n'), 1):
            if not line.strip():
                continue
            try:
                where = f'{self.source}, line {number}'
                entries.append(_parse_line(line, number, where))
            except AnnotationError as error:
                error.ref_id = f'line-{number}'
                report(error)
        return entries

    def where(self, entry):
        """str: File, line and id."""
        return f'{self.source}, line {entry["line"]} (id {entry["ref_id"]!r})'

    def make_object(self, entry):
        """Record of one line."""
        where = self.where(entry)
        expressions = check_expressions(_texts(entry, where), where)
        segmentation, height, width = self._mask(entry, where)
        return dict(
            img_path=osp.join(self.img_dir, _path(entry['image'], 'image', where)),
            image_id=_id(entry, 'image_id', entry['image'], where),
            ref_id=entry['ref_id'],
            ann_id=_id(entry, 'object_id', entry['ref_id'], where),
            category=_category(entry, where),
            height=height,
            width=width,
            segmentation=segmentation,
            expressions=expressions,
            sent_ids=_sentence_ids(entry, len(expressions), where),
            split=entry['split'],
        )

    def _mask(self, entry, where):
        """Segmentation, and height and width as far as they are known."""
        mask, size = entry['mask'], _stated_size(entry, where)
        if mask is None:
            return None, *size
        if isinstance(mask, str):
            path = osp.join(self.mask_dir, _path(mask, 'mask', where))
            return dict(file=path, above=0), *size
        try:
            if None in size:
                size = _rle_size(mask)
            # Polygons alone don't tell the size; they are checked when drawn.
            bounds = size if None not in size else (float('inf'), float('inf'))
            overhang = check_segmentation(mask, *bounds)
        except ValueError as error:
            raise AnnotationError(
                'mask', f'{where}: {error}. If it names nothing, use "mask": null'
            ) from None
        if overhang > TOLERATED_OVERHANG:
            self.remarks.append(
                AnnotationError(
                    'outside',
                    f'{where}: a polygon reaches {overhang:g} px out of its image',
                    entry['ref_id'],
                )
            )
        return mask, *size


def _parse_line(line, number, where):
    """Entry of a line whose keys are known and complete."""
    entry = parse_json(line, where)
    if not isinstance(entry, dict):
        raise AnnotationError(
            'entry', f'{where}: expected an object, got {type(entry).__name__}'
        )
    unknown = sorted(set(entry) - KEYS)
    if unknown:
        raise AnnotationError(
            'entry',
            f'{where}: unknown keys {unknown}; known are {sorted(KEYS)}. Whatever '
            "else there is to say belongs into 'attributes'",
        )
    for key in ('image', 'mask', 'split'):
        if key not in entry:
            raise AnnotationError('entry', f'{where} has no {key!r}')
    check_split(entry['split'], where)
    ref_id = _id(entry, 'id', f'line-{number}', where)
    return dict(entry, line=number, ref_id=ref_id)


def _texts(entry, where):
    if ('expression' in entry) == ('expressions' in entry):
        raise AnnotationError(
            'expression',
            f"{where}: exactly one of 'expression' and 'expressions' is needed",
        )
    texts = entry.get('expressions', [entry.get('expression')])
    if not isinstance(texts, list):
        raise AnnotationError('expression', f"{where}: 'expressions' must be a list")
    return texts


def _path(value, key, where):
    if not isinstance(value, str) or not value.strip() or '\0' in value:
        raise AnnotationError(
            'entry', f'{where}: {key} must be the path of a file, got {value!r}'
        )
    return value


def _id(entry, key, default, where):
    value = entry.get(key, default)
    if not is_id(value):
        raise AnnotationError(
            'id', f'{where}: {key} must be a number or text, got {value!r}'
        )
    return value


def _category(entry, where):
    category = entry.get('category', 'object')
    if not isinstance(category, str) or not category.strip():
        raise AnnotationError(
            'entry', f'{where}: category must be text, got {category!r}. {LEAVE_OUT}'
        )
    return category


def _sentence_ids(entry, count, where):
    ids = entry.get('sentence_ids')
    if ids is None:
        return list(range(count))
    if not isinstance(ids, list) or len(ids) != count or not all(map(is_id, ids)):
        raise AnnotationError(
            'id', f'{where}: sentence_ids must be one id for each expression'
        )
    return ids


def _stated_size(entry, where):
    size = entry.get('height'), entry.get('width')
    if size != (None, None):
        for value in size:
            if not is_length(value):
                raise AnnotationError(
                    'entry',
                    f'{where}: height and width must be positive whole numbers, '
                    f'got {size}',
                )
    return size


def _rle_size(mask):
    """Size that an RLE states; (None, None) for polygons."""
    for segment in segments_of(mask):
        if isinstance(segment, dict):
            size = segment.get('size')
            whole = isinstance(size, list) and len(size) == 2
            if not whole or not all(map(is_length, size)):
                raise ValueError(f'RLE size must be [height, width], got {size!r}')
            return tuple(size)
    return None, None
