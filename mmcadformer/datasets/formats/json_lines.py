# SPDX-License-Identifier: Apache-2.0
"""One JSON object per line: the layout for people's own data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from ...utils.files import whole_file
from ..errors import AnnotationError, Report, fail
from ..masks import Segmentation, check_segmentation, segments_of
from ..records import Record, is_id
from .base import (
    LEAVE_OUT,
    LayoutReader,
    check_expressions,
    check_id,
    check_split,
    is_length,
    parse_json,
    read_file,
)
from .boxes import BadEntries, BoxItem
from .writing import (
    IMAGE_MODES,
    check_mode,
    new_names,
    place_images,
    require_absent,
    require_unique,
    with_masks,
)

_KEYS = frozenset(
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
_BOX_KEYS = frozenset(
    ('id', 'image', 'box', 'bbox', 'expression', 'expressions', 'category', 'split')
)
_Size = tuple[int, int] | tuple[None, None]


class JsonLinesReader(LayoutReader):
    """Reads a file with one object per line (see :class:`ReferringJsonDataset`).

    Args:
        path: The file.
        img_dir: Folder that image paths are below.
        mask_dir: Folder that mask paths are below.
        backend_args: Of MMEngine's file backend.
    """

    def __init__(
        self,
        path: str,
        img_dir: str,
        mask_dir: str,
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(path, backend_args)
        self.img_dir = img_dir
        self.mask_dir = mask_dir

    def entries(self, split: str | None = None, report: Report = fail) -> list[Record]:
        """Entries of the file, with ``ref_id`` and ``line`` added."""
        data = read_file(self.source, self.backend_args)
        entries = []
        for number, line in _lines(data):
            where = f'{self.source}, line {number}'
            try:
                entries.append(_parse_line(line, number, where))
            except AnnotationError as error:
                error.ref_id = f'line-{number}'
                report(error)
        return entries

    def where(self, entry: Record) -> str:
        """File, line and id."""
        return f'{self.source}, line {entry["line"]} (id {entry["ref_id"]!r})'

    def make_object(self, entry: Record) -> Record:
        """Record of one line."""
        where = self.where(entry)
        try:
            texts = _texts(entry)
        except ValueError as error:
            raise AnnotationError('expression', f'{where}: {error}') from None
        expressions = check_expressions(texts, where)
        segmentation, (height, width) = self._mask(entry, where)
        return dict(
            img_path=os.path.join(self.img_dir, _path(entry['image'], 'image', where)),
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

    def _mask(self, entry: Record, where: str) -> tuple[Segmentation | None, _Size]:
        """Segmentation, and height and width as far as they are known."""
        mask, size = entry['mask'], _stated_size(entry, where)
        if mask is None:
            return None, size
        if isinstance(mask, str):
            path = os.path.join(self.mask_dir, _path(mask, 'mask', where))
            return dict(file=path, above=0), size
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
        self.remark_overhang(overhang, entry, where)
        return mask, size


def write_json_lines(
    objects: Sequence[Record],
    root: str | os.PathLike,
    ann_file: str = 'annotations.jsonl',
    image_mode: str = 'keep',
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Writes a data set for :class:`ReferringJsonDataset`.

    Args:
        objects: Records of all splits.
        root: Folder of the file.
        ann_file: Its name.
        image_mode: ``'keep'`` names the images where they are, relative to the
            folder; ``'copy'``, ``'hardlink'``, ``'symlink'`` put them into
            ``images/`` in it.
        backend_args: Of MMEngine's file backend.
        workers: Processes that read mask files.
        progress: Show bars.

    Returns:
        The file.

    Raises:
        FileExistsError: The file is there already.
        ValueError: An id is used twice, or ``image_mode`` is unknown.
    """
    check_mode(image_mode, ('keep', *IMAGE_MODES))
    root = Path(root)
    path = root / ann_file
    require_absent(path)
    require_unique(objects)
    if image_mode == 'keep':
        names = {obj['img_path']: _relative(obj['img_path'], root) for obj in objects}
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
    """Reads boxes, one item per line.

    .. code-block:: json

        {"image": "a.png", "box": [4, 9, 40, 60], "expression": "the left tank",
         "category": "storage tank"}

    ``box`` is left, top, right, bottom in pixels; ``bbox`` in its place is
    COCO's left, top, width, height. ``expressions`` may hold a list instead of
    one ``expression``. ``id`` (default: ``line-<number>``) and ``split`` may be
    left out.

    Args:
        path: The file.
        bad: Gets the lines that can't be used.

    Returns:
        The items, in the order of the lines.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is bad, and ``bad`` doesn't leave it out.
    """
    bad = bad or BadEntries()
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist') from None
    items = []
    for number, line in _lines(data):
        with bad.around(f'{path}, line {number}'):
            items.append(_box_item(line, number))
    return items


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers, from 1, and lines that aren't blank."""
    for number, line in enumerate(data.split(b'\n'), 1):
        if line.strip():
            yield number, line


def _parse_line(line: bytes, number: int, where: str) -> Record:
    """Entry of a line whose keys are known and complete."""
    entry = parse_json(line, where)
    if not isinstance(entry, dict):
        raise AnnotationError(
            'entry', f'{where}: expected an object, got {type(entry).__name__}'
        )
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise AnnotationError(
            'entry',
            f'{where}: unknown keys {unknown}; known are {sorted(_KEYS)}. Put '
            "whatever else there is to say under 'attributes'",
        )
    for key in ('image', 'mask', 'split'):
        if key not in entry:
            raise AnnotationError('entry', f'{where} has no {key!r}')
    check_split(entry['split'], where)
    ref_id = _id(entry, 'id', f'line-{number}', where)
    return dict(entry, line=number, ref_id=ref_id)


def _box_item(line: bytes, number: int) -> BoxItem:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f'not valid JSON ({error})') from None
    if not isinstance(entry, dict):
        raise ValueError(f'expected an object, got {type(entry).__name__}')
    unknown = sorted(set(entry) - _BOX_KEYS)
    if unknown:
        raise ValueError(f'unknown keys {unknown}; known are {sorted(_BOX_KEYS)}')
    return BoxItem(
        item_id=str(entry.get('id', f'line-{number:06d}')),
        image=entry.get('image', ''),
        box=_box(entry),
        category=entry.get('category', ''),
        expressions=tuple(_texts(entry)),
        split=entry.get('split'),
    )


def _box(entry: Record) -> Any:
    if ('box' in entry) == ('bbox' in entry):
        raise ValueError("exactly one of 'box' and 'bbox' is needed")
    if 'box' in entry:
        return entry['box']
    try:
        left, top, width, height = entry['bbox']
        return left, top, left + width, top + height
    except (TypeError, ValueError):
        raise ValueError(
            f"'bbox' must be left, top, width, height, got {entry['bbox']!r}"
        ) from None


def _texts(entry: Record) -> list:
    if ('expression' in entry) == ('expressions' in entry):
        raise ValueError("exactly one of 'expression' and 'expressions' is needed")
    texts = entry.get('expressions', [entry.get('expression')])
    if not isinstance(texts, list):
        raise ValueError(f"'expressions' must be a list, got {texts!r}")
    return texts


def _path(value: object, key: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip() or '\0' in value:
        raise AnnotationError(
            'entry', f'{where}: {key} must be the path of a file, got {value!r}'
        )
    return value


def _id(entry: Record, key: str, default: object, where: str) -> Any:
    value = entry.get(key, default)
    check_id(value, f'{where}: {key}')
    return value


def _category(entry: Record, where: str) -> str:
    category = entry.get('category', 'object')
    if not isinstance(category, str) or not category.strip():
        raise AnnotationError(
            'entry', f'{where}: category must be text, got {category!r}. {LEAVE_OUT}'
        )
    return category


def _sentence_ids(entry: Record, count: int, where: str) -> list:
    ids = entry.get('sentence_ids')
    if ids is None:
        return list(range(count))
    if not isinstance(ids, list) or len(ids) != count or not all(map(is_id, ids)):
        raise AnnotationError(
            'id', f'{where}: sentence_ids must be one id for each expression'
        )
    return ids


def _stated_size(entry: Record, where: str) -> _Size:
    size = entry.get('height'), entry.get('width')
    if size != (None, None) and not all(map(is_length, size)):
        raise AnnotationError(
            'entry',
            f'{where}: height and width must be positive whole numbers, got {size}',
        )
    return size


def _rle_size(mask: Segmentation) -> _Size:
    """Size that an RLE states; (None, None) for polygons."""
    for segment in segments_of(mask):
        if isinstance(segment, dict):
            size = segment.get('size')
            if (
                not isinstance(size, list)
                or len(size) != 2
                or not all(map(is_length, size))
            ):
                raise ValueError(f'RLE size must be [height, width], got {size!r}')
            return size[0], size[1]
    return None, None


def _line(obj: Record, names: dict[str, str]) -> Record:
    return dict(
        id=obj['ref_id'],
        image=names[obj['img_path']],
        image_id=obj['image_id'],
        object_id=obj['ann_id'],
        split=obj['split'],
        category=obj['category'],
        expressions=obj['expressions'],
        sentence_ids=obj['sent_ids'],
        height=obj['height'],
        width=obj['width'],
        mask=obj['segmentation'],
    )


def _relative(path: str, root: Path) -> str:
    return PurePath(os.path.relpath(path, root)).as_posix()
