# SPDX-License-Identifier: Apache-2.0
"""One JSON object per line: the layout for people's own data."""

from __future__ import annotations

import json
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ...utils.files import whole_file
from ...utils.plain_data import parse_json, shorten
from ...utils.text import check_choice
from ..mask_files import MaskFiles
from ..masks import check_segmentation, rle_size
from ..records import AnnotationError, Id, Record, Report, fail, is_id
from ..targets import NONE, no_target, record_targets, stated_kind
from .base import (
    IMAGE_MODES,
    LayoutReader,
    as_length,
    check_expressions,
    check_id,
    check_objects,
    check_split,
    expect,
    expect_kind,
    new_names,
    place_images,
    read_file,
    require_absent,
    with_masks,
)
from .boxes import BadEntries, BoxItem, items_of_sentence


def _is_path(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and '\0' not in value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_ids(value: object) -> bool:
    return all(map(is_id, value)) if isinstance(value, list) else is_id(value)


def _are_texts(value: object) -> bool:
    return all(map(_is_text, value)) if isinstance(value, list) else _is_text(value)


# Of each key: the kind of damage, a test, and what it tests.
_Rule = tuple[str, Callable[[object], bool], str]
_ID: _Rule = ('id', is_id, 'a number or text')
_RULES: dict[str, _Rule] = dict(
    id=_ID,
    image=('entry', _is_path, 'the path of a file'),
    image_id=_ID,
    object_id=('id', _are_ids, 'a number or text, or a list of such'),
    category=('entry', _are_texts, 'text, or a list of texts'),
)
_TEXTS = ('expression', 'expressions')
_KEYS = frozenset(
    (
        *(*_RULES, *_TEXTS, 'mask', 'kind', 'split', 'sentence_ids'),
        *('height', 'width', 'attributes'),
    )
)
_CATEGORY = 'object'
_Size = tuple[int | None, int | None]
_BOXES = ('box', 'bbox', 'boxes')
_BOX_KEYS = frozenset(('id', 'image', 'category', 'kind', 'split', *_BOXES, *_TEXTS))


@dataclass(kw_only=True)
class JsonLinesReader(LayoutReader):
    """Reads a file with one object per line (see :class:`ReferringJsonDataset`)."""

    img_dir: str  # which image paths are below
    mask_dir: str  # which mask paths are below
    mask_files: MaskFiles = MaskFiles()  # how these are understood

    def entries(self, split: str | None = None, report: Report = fail) -> list[Record]:
        entries = []
        for number, line in _lines(read_file(self.source, self.backend_args)):
            default = f'line-{number}'
            where = f'{self.source}, line {number}'
            try:
                entry = _parse_line(line, where)
            except AnnotationError as error:
                error.ref_id = default
                report(error)
            else:
                ref_id = entry.get('id', default)
                entries.append(dict(entry, line=number, ref_id=ref_id))
        return entries

    def make_object(self, entry: Record) -> Record:
        where = f'{self.source}, line {entry["line"]} (id {shorten(entry["ref_id"])})'
        for key, (kind, good, what) in _RULES.items():
            if key in entry:
                message = f'{where}: {key} must be {what}, got {shorten(entry[key])}'
                expect(good(entry[key]), kind, message)
        try:
            texts = _texts(entry)
        except ValueError as error:
            raise AnnotationError('expression', f'{where}: {error}') from None
        expressions = check_expressions(texts, where)
        sent_ids = entry.get('sentence_ids')
        if sent_ids is None:
            sent_ids = list(range(len(expressions)))
        expect(
            isinstance(sent_ids, list)
            and len(sent_ids) == len(expressions)
            and all(map(is_id, sent_ids)),
            'id',
            f'{where}: sentence_ids must be one id for each expression',
        )
        size = self._stated_size(entry, where)
        told, size = self._targets(entry, size, where)
        return dict(
            img_path=os.path.join(self.img_dir, entry['image']),
            image_id=entry.get('image_id', entry['image']),
            ref_id=entry['ref_id'],
            height=size[0],
            width=size[1],
            expressions=expressions,
            sent_ids=sent_ids,
            split=entry['split'],
            **told,
        )

    def _stated_size(self, entry: Record, where: str) -> _Size:
        stated = entry.get('height'), entry.get('width')
        size = as_length(stated[0]), as_length(stated[1])
        expect(
            stated == (None, None) or None not in size,
            'entry',
            f'{where}: height and width must be positive whole numbers, got {stated}',
        )
        return size

    def _targets(self, entry: Record, size: _Size, where: str) -> tuple[Record, _Size]:
        """The keys of a record that tell its targets; the size as far as known."""
        mask, kind = entry['mask'], entry.get('kind')
        if mask is None or mask == []:
            expect_kind(kind, 0, where)
            ann_id = entry.get('object_id', entry['ref_id'])
            ann_id = tuple(ann_id) if isinstance(ann_id, list) else ann_id
            category = entry.get('category', _CATEGORY)
            return no_target(ann_id, category, kind or NONE), size
        targets = []
        for ann_id, category, part in _each_target(entry, where):
            segmentation, size = self._mask(part, size, entry, where)
            targets.append(
                dict(ann_id=ann_id, category=category, segmentation=segmentation)
            )
        expect_kind(kind, len(targets), where)
        return record_targets(targets, kind), size

    def _mask(
        self, mask: Any, size: _Size, entry: Record, where: str
    ) -> tuple[Any, _Size]:
        """Segmentation of one target, and the size as far as it is known."""
        if isinstance(mask, str):
            expect(_is_path(mask), 'entry', f'{where}: mask must be the path of a file')
            path = os.path.join(self.mask_dir, mask)
            return self.mask_files.segmentation(path), size
        mask = self.without_degenerate(mask, entry, where)
        try:
            if None in size:
                size = rle_size(mask)
            # Polygons alone don't tell the size; they are checked when drawn.
            height, width = (float('inf') if side is None else side for side in size)
            overhang = check_segmentation(mask, height, width)
        except ValueError as error:
            raise AnnotationError(
                'mask', f'{where}: {error}. If it names nothing, use "mask": null'
            ) from None
        self.remark_overhang(overhang, entry, where)
        return mask, size


def _each_target(entry: Record, where: str) -> Iterator[tuple[Id, str, Any]]:
    """Id, category and mask of each target: a list of ids has a list of masks."""
    ids: Any = entry.get('object_id', entry['ref_id'])
    masks = entry['mask']
    named = entry.get('category', _CATEGORY)
    if 'object_id' not in entry and _all_files(masks):
        ids = [f'{entry["ref_id"]}/{number}' for number in range(len(masks))]
    if not isinstance(ids, list):
        one = isinstance(named, str)
        expect(one, 'entry', f'{where}: a list as category needs one as object_id')
        yield ids, named, masks
        return
    fits = isinstance(masks, list) and len(masks) == len(ids) == len(set(ids)) > 0
    expect(fits, 'mask', f'{where}: mask must be a list, one for each of object_id')
    names = [named] * len(ids) if isinstance(named, str) else named
    good = len(names) == len(ids)
    expect(good, 'entry', f'{where}: category must be one for each of object_id')
    yield from zip(ids, names, masks, strict=True)


def _all_files(masks: object) -> bool:
    return isinstance(masks, list) and all(isinstance(mask, str) for mask in masks)


def write_json_lines(
    objects: Sequence[Record],
    root: str | os.PathLike,
    ann_file: str = 'annotations.jsonl',
    image_mode: str = 'keep',
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Writes a data set for :class:`ReferringJsonDataset` and returns its file.

    ``image_mode='keep'`` names the images where they are, relative to the folder
    ``root``; ``'copy'``, ``'hardlink'``, ``'symlink'`` put them into ``images/`` in it.

    Raises:
        FileExistsError: The file is there already.
        ValueError: An id is used twice, or ``image_mode`` is unknown.
    """
    check_choice('image_mode', image_mode, ('keep', *IMAGE_MODES))
    root = Path(root)
    path = root / ann_file
    require_absent(path)
    check_objects(objects)
    if image_mode == 'keep':
        paths = {obj['img_path'] for obj in objects}
        names = {p: PurePath(os.path.relpath(p, root)).as_posix() for p in paths}
    else:
        require_absent(root / 'images')
        names = new_names(objects)
        place_images(names, root / 'images', image_mode, progress)
        names = {path: f'images/{name}' for path, name in names.items()}
    written = with_masks(objects, backend_args, workers, progress)
    with (
        whole_file(path) as unfinished,
        open(unfinished, 'w', encoding='utf-8', newline='\n') as file,
    ):
        for obj in written:
            file.write(json.dumps(_line(obj, names), ensure_ascii=False) + '\n')
    return path


def load_json_lines_boxes(
    path: str | os.PathLike, bad: BadEntries | None = None
) -> list[BoxItem]:
    """Reads boxes, one sentence or more per line; bad lines go to ``bad``.

    .. code-block:: json

        {"image": "a.png", "box": [4, 9, 40, 60], "expression": "the left tank",
         "category": "storage tank"}

    ``box`` is left, top, right, bottom in pixels; ``bbox`` in its place is
    COCO's left, top, width, height. ``expressions`` may hold a list instead of
    one ``expression``. ``boxes`` is a list of boxes for a sentence that means several
    objects, each of which becomes an item; it is empty for one that means none, where
    ``category`` may be left out. ``id`` (default: ``line-<number>``), ``kind`` and
    ``split`` may be left out.
    """
    bad = bad or BadEntries()
    items = []
    for number, line in _lines(read_file(str(path))):
        with bad.around(f'{path}, line {number}'):
            items += _box_items(line, number)
    return items


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers, from 1, and lines that aren't blank."""
    for number, line in enumerate(data.removeprefix(BOM_UTF8).split(b'\n'), 1):
        if line.strip():
            yield number, line


def _parse(line: bytes, keys: frozenset[str]) -> Record:
    """The object of a line, which has no other keys than these."""
    entry = parse_json(line)
    if not isinstance(entry, dict):
        raise ValueError(f'expected an object, got {type(entry).__name__}')
    unknown = sorted(set(entry) - keys)
    if unknown:
        raise ValueError(f'unknown keys {shorten(unknown)}; known are {sorted(keys)}')
    return entry


def _parse_line(line: bytes, where: str) -> Record:
    """Entry whose keys are known and complete."""
    try:
        entry = _parse(line, _KEYS)
    except ValueError as error:
        raise AnnotationError('entry', f'{where}: {error}') from None
    for key in ('image', 'mask', 'split'):
        expect(key in entry, 'entry', f'{where} has no {shorten(key)}')
    check_split(entry['split'], where)
    check_id(entry.get('id', 0), f'{where}: id')
    return entry


def _box_items(line: bytes, number: int) -> list[BoxItem]:
    entry = _parse(line, _BOX_KEYS)
    category = entry.get('category')
    return items_of_sentence(
        str(entry.get('id', f'line-{number:06d}')),
        [(box, category or '') for box in _boxes(entry)],
        category,
        entry.get('kind'),
        image=entry.get('image', ''),
        expressions=tuple(_texts(entry)),
        split=entry.get('split'),
    )


def _boxes(entry: Record) -> list:
    """Boxes of a line, unchecked."""
    given = [key for key in _BOXES if key in entry]
    if len(given) != 1:
        raise ValueError("exactly one of 'box', 'bbox' and 'boxes' is needed")
    if 'box' in entry:
        return [entry['box']]
    if 'boxes' in entry:
        boxes = entry['boxes']
        if not isinstance(boxes, list):
            raise ValueError(f"'boxes' must be a list, got {shorten(boxes)}")
        return boxes
    try:
        left, top, width, height = entry['bbox']
        return [(left, top, left + width, top + height)]
    except (TypeError, ValueError):
        raise ValueError(
            f"'bbox' must be left, top, width, height, got {shorten(entry['bbox'])}"
        ) from None


def _texts(entry: Record) -> list:
    if ('expression' in entry) == ('expressions' in entry):
        raise ValueError("exactly one of 'expression' and 'expressions' is needed")
    texts = entry.get('expressions', [entry.get('expression')])
    if not isinstance(texts, list):
        raise ValueError(f"'expressions' must be a list, got {shorten(texts)}")
    return texts


def _line(obj: Record, names: dict[str, str]) -> Record:
    ids, category, masks = obj['ann_id'], obj['category'], obj['segmentation']
    if 'targets' in obj:
        ids, stated, masks = (
            [target[key] for target in obj['targets']]
            for key in ('ann_id', 'category', 'segmentation')
        )
        category = stated[0] if len(set(stated)) == 1 else stated
    kind = stated_kind(obj)
    return dict(
        id=obj['ref_id'],
        image=names[obj['img_path']],
        image_id=obj['image_id'],
        object_id=ids,
        split=obj['split'],
        category=category,
        expressions=obj['expressions'],
        sentence_ids=obj['sent_ids'],
        height=obj['height'],
        width=obj['width'],
        mask=masks,
        **({} if kind is None else {'kind': kind}),
    )
