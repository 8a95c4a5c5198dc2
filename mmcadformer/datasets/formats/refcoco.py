# SPDX-License-Identifier: Apache-2.0
"""The RefCOCO layout: references in a pickle or JSON, objects in ``instances.json``.

With sentences that mean none or several objects it is gRefCOCO's: ``grefs(unc).json``
or a pickle in place of ``refs(unc).p``, where ``ann_id`` and ``category_id`` are lists.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.fileio import exists

from ...utils.files import UNFINISHED, write_json, write_text
from ...utils.plain_data import shorten
from ...utils.plain_pickle import load_plain_pickle
from ...utils.text import check_choice
from ..records import (
    AnnotationError,
    Id,
    Record,
    Report,
    fail,
    integer_ids,
    is_id,
    numbered,
)
from ..targets import (
    NO_CATEGORY,
    NONE,
    ONE,
    kind_of,
    no_target,
    record_targets,
    targets_of,
)
from .base import (
    IMAGE_MODES,
    LayoutReader,
    check_expressions,
    check_id,
    check_objects,
    check_split,
    expect,
    expect_kind,
    new_names,
    parse_json_file,
    place_images,
    read_file,
    require,
    require_absent,
    with_masks,
)
from .boxes import BadEntries, BoxItem
from .instances import Instances, make_instances

INSTANCES, REFS_JSON, REFS_PICKLE = 'instances.json', 'refs.json', 'refs(unc).p'
GREFS_JSON, GREFS_PICKLE = 'grefs(unc).json', 'grefs(unc).p'
NO_ID = -1
"""What gRefCOCO's lists hold where there is no target."""


@dataclass(kw_only=True)
class RefCOCOReader(LayoutReader):
    """Reads a file of references, and ``instances.json`` beside it."""

    img_dir: str  # which file names of images are below
    _instances: Instances = field(init=False)

    def entries(self, split: str | None = None, report: Report = fail) -> list[Record]:
        path = os.path.join(os.path.dirname(self.source), INSTANCES)
        self._instances = Instances(path, self.backend_args)
        refs = read_refs(self.source, self.backend_args)
        return list(_usable(refs, self.source, report))

    def make_object(self, entry: Record) -> Record:
        where = f'{self.source}: ref_id {entry["ref_id"]}'
        image = self._instances.image(entry['image_id'], where)
        ids, kind = _ann_ids(entry, where), entry.get('kind')
        expect_kind(kind, len(ids), where)
        targets = [self._target(ann_id, image, entry, where) for ann_id in ids]
        expressions, sent_ids = _sentences(entry, where)
        told = record_targets(targets, kind) if targets else _nothing(entry)
        return dict(
            img_path=os.path.join(self.img_dir, image['file_name']),
            image_id=image['id'],
            ref_id=entry['ref_id'],
            height=image['height'],
            width=image['width'],
            expressions=check_expressions(expressions, where),
            sent_ids=sent_ids,
            split=entry['split'],
            **told,
        )

    def _target(self, ann_id: Id, image: Record, entry: Record, where: str) -> Record:
        """Id, category and mask of one of a reference's objects."""
        annotation, overhang = self._instances.mask(
            ann_id,
            image,
            where,
            lambda mask, place: self.without_degenerate(mask, entry, place),
        )
        place = f'{self._instances.path}: annotation id {shorten(annotation["id"])}'
        self.remark_overhang(overhang, entry, f'{place} (used by {where})')
        return dict(
            ann_id=annotation['id'],
            category=self._category(annotation, entry, where),
            segmentation=annotation['segmentation'],
        )

    def unused_damage(self, entries: Sequence[Record]) -> list[AnnotationError]:
        return self._instances.unused_damage(
            {ann_id for entry in entries for ann_id in _ann_ids(entry)},
            {entry['image_id'] for entry in entries},
        )

    def _category(self, annotation: Record, entry: Record, where: str) -> str:
        """Name of the category, or its id: it is only used in reports."""
        key = annotation.get('category_id', entry.get('category_id'))
        name = self._instances.category(key)
        if name is None:
            self.remark(
                'category',
                entry,
                f'{self._instances.path}: category id {shorten(key)}, used by '
                f'{where}, has no '
                "name in 'categories'; reports show the id instead",
            )
        return str(key) if name is None else name


def load_refcoco_boxes(
    root: str | os.PathLike, name: str, bad: BadEntries | None = None
) -> tuple[list[BoxItem], Path]:
    """Boxes of all references, whose masks may be missing, and the images' folder.

    Items are called ``ref-<ref_id>``; references that can't be used go to ``bad``.

    Raises:
        FileNotFoundError, ValueError: A file is missing, damaged or unsafe.
    """
    bad = bad or BadEntries()
    root = Path(root)
    source = find_refs(str(root / name))
    instances = Instances(str(root / name / INSTANCES))
    items = []
    for position, ref in enumerate(read_refs(source)):
        with bad.around(f'{source}: entry {position}'):
            items.append(_box_item(ref, instances))
    return items, root / 'images' / name / 'JPEGImages'


def _box_item(ref: Record, instances: Instances) -> BoxItem:
    where = 'the reference'
    require(ref, ('ref_id', 'ann_id', 'image_id', 'sentences'), where)
    image = instances.image(ref['image_id'], where)
    annotation = instances.annotation(ref['ann_id'], where)
    what = f'annotation id {shorten(annotation["id"])}'
    try:
        left, top, width, height = annotation['bbox']
        box = left, top, left + width, top + height
    except (KeyError, TypeError, ValueError):
        raise ValueError(f'{what} has no bbox of four numbers') from None
    category = instances.category(annotation.get('category_id'))
    if category is None:
        raise ValueError(f'{what} has no category')
    return BoxItem(
        item_id=f'ref-{ref["ref_id"]}',
        image=image['file_name'],
        box=box,
        category=category,
        expressions=tuple(_sentences(ref, where)[0]),
        split=ref.get('split'),
    )


def _ann_ids(ref: Record, where: str = 'the reference') -> list[Id]:
    """Ids of a reference's objects, each once: a list, or one id, or -1 for none."""
    ids = ref['ann_id'] if isinstance(ref['ann_id'], list) else [ref['ann_id']]
    for ann_id in ids:
        check_id(ann_id, f'{where}: an ann_id')
    return [ann_id for ann_id in dict.fromkeys(ids) if ann_id != NO_ID]


def _nothing(ref: Record) -> Record:
    """The keys of a record without a target."""
    category = ref.get('category')
    category = category if isinstance(category, str) and category else None
    return no_target(category=category, kind=ref.get('kind') or NONE)


def find_refs(folder: str, backend_args: dict | None = None) -> str:
    """The file of references in a folder, or FileNotFoundError."""
    for name in (REFS_JSON, REFS_PICKLE, GREFS_JSON, GREFS_PICKLE):
        path = os.path.join(folder, name)
        if exists(path, backend_args=backend_args):
            return path
    raise FileNotFoundError(
        f'none of {REFS_JSON}, {REFS_PICKLE}, {GREFS_JSON} and {GREFS_PICKLE} found in '
        f'{folder}'
    )


def read_refs(
    path: str, backend_args: dict | None = None, encoding: str = 'utf-8'
) -> list:
    """The references of a pickle, or of JSON if the name ends so; unchecked.

    ``encoding`` is that of strings in a pickle of Python 2.

    Raises:
        UnsafePickleError, AnnotationError: The pickle asks for more than plain data;
            the file can't be read or holds no list.
    """
    data = read_file(path, backend_args)
    if path.endswith('.json'):
        refs = parse_json_file(data, path)
    else:
        refs = load_plain_pickle(data, path, encoding)
    is_list, kind = isinstance(refs, list), type(refs).__name__
    expect(is_list, 'file', f'{path}: expected a list of references, got {kind}')
    return refs


def _usable(refs: Iterable, path: str, report: Report) -> Iterator[Record]:
    for position, ref in enumerate(refs):
        where = f'{path}: entry {position}'
        try:
            require(ref, ('ref_id', 'image_id', 'split', 'sentences'), where)
            expect('ann_id' in ref, 'entry', f"{where} has no 'ann_id'")
            _ann_ids(ref, where)
            check_split(ref['split'], f'{path}: ref_id {ref["ref_id"]}')
        except AnnotationError as error:
            known = ref if isinstance(ref, dict) else {}
            ref_id = known.get('ref_id')
            error.ref_id = ref_id if is_id(ref_id) else f'entry-{position}'
            error.original_id = known.get('original_id')
            report(error)
        else:
            yield ref


def _sentences(ref: Record, where: str) -> tuple[list, list]:
    """Texts and ids of a reference's sentences."""
    sentences = ref['sentences']
    is_list = isinstance(sentences, list)
    expect(is_list, 'expression', f'{where}: sentences must be a list')
    ids = ref.get('sent_ids')
    ids = ids if isinstance(ids, list) else []
    texts, sent_ids = [], []
    for position, sentence in enumerate(sentences):
        form = f"must be a dict with the text under 'raw', got {shorten(sentence)}"
        is_dict = isinstance(sentence, dict)
        expect(is_dict, 'expression', f'{where}: sentence {position} {form}')
        texts.append(sentence.get('raw') or sentence.get('sent'))
        fallback = ids[position] if position < len(ids) else position
        sent_ids.append(sentence.get('sent_id', fallback))
        check_id(sent_ids[-1], f'{where}: the id of sentence {position}')
    return texts, sent_ids


def write_refcoco(
    objects: Sequence[Record],
    root: str | os.PathLike,
    name: str,
    image_mode: str = 'copy',
    names: Mapping[str, str] | None = None,
    beside: Mapping[str, Any] | None = None,
    refs_as_json: bool = False,
    replace: bool = False,
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Writes a data set for :class:`ReferringSegDataset` (paper Sec. III-A, step 3).

    It is written under another name first, so that it is there whole or not at all.

    Args:
        objects: Records of all splits, see :func:`write_annotations`; masks may be
            of any form.
        image_mode: ``'copy'`` the images, or ``'hardlink'`` or ``'symlink'`` to them.
        names: File name by image path; by default the path below the folder that
            all images share.
        beside: Content of JSON files to write beside the annotations, by name.
        refs_as_json: Write ``refs.json``, too.
        replace: Replace a data set of this name.

    Returns:
        Folder of the annotations.

    Raises:
        FileExistsError: There is a data set of this name.
        ValueError: Something can't be said in this layout, or an argument is unknown.
    """
    check_choice('image_mode', image_mode, IMAGE_MODES)
    if Path(name).name != name or name in ('', '.', '..', 'images'):
        raise ValueError(f'{shorten(name)} can not be the name of a data set')
    root = Path(root)
    folder, pictures = root / name, root / 'images' / name
    if not replace:
        require_absent(folder, pictures)
    check_objects(objects)
    objects = with_masks(objects, backend_args, workers, progress)
    names = names or new_names(objects)
    staging = root / f'.{name}{UNFINISHED}'
    shutil.rmtree(staging, ignore_errors=True)
    try:
        write_annotations(objects, names, staging / 'annotations', refs_as_json)
        for file_name, content in (beside or {}).items():
            write_json(staging / 'annotations' / file_name, content)
        place_images(names, staging / 'images/JPEGImages', image_mode, progress)
        moves = {staging / 'images': pictures, staging / 'annotations': folder}
        for source, target in moves.items():
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def write_annotations(
    objects: Sequence[Record],
    names: Mapping[str, str],
    folder: Path,
    refs_as_json: bool = False,
    categories: Sequence[str] | None = None,
    info: Record | None = None,
) -> None:
    """Writes ``instances.json`` and ``refs(unc).p`` into a folder, made if needed.

    Where a sentence means none or several objects, or ``kind`` tells more, references
    are called ``grefs(unc).p``: ``ann_id`` and ``category_id`` are lists in all of
    them, ``[-1]`` for none, and ``kind`` and ``category`` stand beside.

    Whatever reads the original RefCOCO can read them: ids are integers, with the
    text that an id was before as ``original_id`` beside it, and a segmentation is a
    list of polygons or a list of RLEs. Ids of sentences are numbered anew if they
    aren't unique.

    Args:
        objects: Records with sizes and masks of :func:`with_masks`. Those without
            expressions become annotations without a reference, and need no ``ref_id``,
            ``sent_ids`` and ``split``; ``attributes`` are kept. ValueError where
            records that share an id don't agree.
        names: File name by image path.
        refs_as_json: Write ``refs.json`` or ``grefs(unc).json``, too.
        categories: In the order of their numbers; by default those that occur, sorted.
        info: ``info`` of ``instances.json``.
    """
    categories = categories or sorted(
        {target['category'] for obj in objects for target in targets_of(obj)}
    )
    content = make_instances(objects, names, categories)
    if info is not None:
        content = dict(info=info, **content)
    several = any(obj['expressions'] and kind_of(obj) != ONE for obj in objects)
    text = _compact(_references(objects, names, categories, several))
    in_json, in_pickle = REFS_JSON, REFS_PICKLE
    if several:
        in_json, in_pickle = GREFS_JSON, GREFS_PICKLE
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / INSTANCES, _compact(content))
    if refs_as_json:
        write_text(folder / in_json, text)
    # Protocol 2, as readers of the original RefCOCO expect. Through JSON, the
    # bytes don't depend on which strings are one object in memory.
    (folder / in_pickle).write_bytes(pickle.dumps(json.loads(text), protocol=2))


def _references(
    objects: Sequence[Record],
    names: Mapping[str, str],
    categories: Sequence[str],
    several: bool,
) -> list[Record]:
    """Entries of the file; with ``several``, objects are lists."""
    image_ids = integer_ids(obj['image_id'] for obj in objects)
    ann_ids = integer_ids(t['ann_id'] for obj in objects for t in targets_of(obj))
    objects = [obj for obj in objects if obj['expressions']]
    ref_ids = integer_ids(obj['ref_id'] for obj in objects)
    sent_ids = [sent_id for obj in objects for sent_id in obj['sent_ids']]
    if len(set(sent_ids)) < len(sent_ids):
        sent_ids = list(range(len(sent_ids)))
    sent_numbers, rest = integer_ids(sent_ids), iter(sent_ids)
    refs = []
    for obj in objects:
        sentences = [
            dict(
                numbered('sent_id', sent_numbers, next(rest)),
                sent=text.lower(),
                raw=text,
                tokens=text.lower().split(),
            )
            for text in obj['expressions']
        ]
        found = [
            (ann_ids[target['ann_id']], categories.index(target['category']) + 1)
            for target in targets_of(obj)
        ]
        ann_id, category_id = zip(*found or [(NO_ID, NO_ID)], strict=True)
        refs.append(
            dict(
                numbered('ref_id', ref_ids, obj['ref_id']),
                ann_id=list(ann_id) if several else ann_id[0],
                image_id=image_ids[obj['image_id']],
                category_id=list(category_id) if several else category_id[0],
                file_name=names[obj['img_path']],
                split=obj['split'],
                sent_ids=[sentence['sent_id'] for sentence in sentences],
                sentences=sentences,
                **(_about(obj) if several else {}),
            )
        )
    return refs


def _about(obj: Record) -> Record:
    """What a reference tells that gRefCOCO has no place for, and its ``no_target``."""
    about = dict(no_target=obj['segmentation'] is None)
    if about['no_target'] and obj['category'] != NO_CATEGORY:
        about['category'] = obj['category']
    return dict(about, kind=obj['kind']) if 'kind' in obj else about


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(',', ':'), ensure_ascii=False)
