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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...utils.files import UNFINISHED, write_json, write_text
from ...utils.plain_data import shorten
from ...utils.text import check_choice
from ..records import (
    AnnotationError,
    Id,
    Record,
    Report,
    fail,
)
from ..targets import (
    ONE,
    kind_of,
    record_targets,
    targets_of,
)
from .base import (
    IMAGE_MODES,
    LayoutReader,
    check_expressions,
    check_objects,
    expect,
    expect_kind,
    new_names,
    place_images,
    require,
    require_absent,
    with_masks,
)
from .boxes import BadEntries, Box, BoxItem, items_of_sentence
from .instances import Instances, make_instances
from .references import (
    GREFS_JSON,
    GREFS_PICKLE,
    REFS_JSON,
    REFS_PICKLE,
    find_refs,
    ids_of_objects,
    make_references,
    no_target_of,
    read_refs,
    sentences_of,
    usable_references,
)

INSTANCES = 'instances.json'


@dataclass(kw_only=True)
class RefCOCOReader(LayoutReader):
    """Reads a file of references, and ``instances.json`` beside it."""

    img_dir: str  # which file names of images are below
    instances: str = INSTANCES  # file beside that of references
    # Take annotations without any mask for sentences without a target.
    absent_where_empty: bool = False
    _instances: Instances = field(init=False)

    def entries(self, split: str | None = None, report: Report = fail) -> list[Record]:
        path = os.path.join(os.path.dirname(self.source), self.instances)
        self._instances = Instances(path, self.backend_args)
        refs = read_refs(self.source, self.backend_args)
        null = self.absent_where_empty
        return list(usable_references(refs, self.source, report, null))

    def make_object(self, entry: Record) -> Record:
        where = f'{self.source}: ref_id {entry["ref_id"]}'
        image = self._instances.image(entry['image_id'], where)
        ids, kind = self._ids(entry, where), entry.get('kind')
        expect_kind(kind, len(ids), where)
        targets = [self._target(ann_id, image, entry, where) for ann_id in ids]
        expressions, sent_ids = sentences_of(entry, where)
        told = record_targets(targets, kind) if targets else no_target_of(entry)
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

    def _ids(self, entry: Record, where: str) -> list[Id]:
        """Ids of a reference's objects, with a note of how a missing one is written."""
        ids = ids_of_objects(entry, where, null=self.absent_where_empty)
        if self.absent_where_empty:
            form = f'ann_id {shorten(entry["ann_id"])}'
            for ann_id in ids:
                if not self._instances.annotation(ann_id, where).get('segmentation'):
                    ids, form = [], 'an annotation without a mask'
                    break
            if not ids:
                self.remark('absent', entry, f'{where}: no target, as it has {form}')
        return ids

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
            {
                ann_id
                for entry in entries
                for ann_id in ids_of_objects(entry, null=True)
            },
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

    Items are called ``ref-<ref_id>``, of several objects ``ref-<ref_id>/1`` and so on;
    references that can't be used go to ``bad``.

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
            items += _box_items(ref, instances)
    return items, root / 'images' / name / 'JPEGImages'


def _box_items(ref: Record, instances: Instances) -> list[BoxItem]:
    where = 'the reference'
    require(ref, ('ref_id', 'image_id', 'sentences'), where)
    expect('ann_id' in ref, 'entry', f"{where} has no 'ann_id'")
    image = instances.image(ref['image_id'], where)
    nothing = no_target_of(ref)
    return items_of_sentence(
        f'ref-{ref["ref_id"]}',
        [_box(instances, ann_id, where) for ann_id in ids_of_objects(ref, where)],
        nothing['category'],
        ref.get('kind'),
        image=image['file_name'],
        expressions=tuple(sentences_of(ref, where)[0]),
        split=ref.get('split'),
    )


def _box(instances: Instances, ann_id: Id, where: str) -> tuple[Box, str]:
    """Box and category of an annotation."""
    annotation = instances.annotation(ann_id, where)
    what = f'annotation id {shorten(annotation["id"])}'
    try:
        left, top, width, height = annotation['bbox']
        box = left, top, left + width, top + height
    except (KeyError, TypeError, ValueError):
        raise ValueError(f'{what} has no bbox of four numbers') from None
    category = instances.category(annotation.get('category_id'))
    if category is None:
        raise ValueError(f'{what} has no category')
    return box, category


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
    text = _compact(make_references(objects, names, categories, several))
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


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(',', ':'), ensure_ascii=False)
