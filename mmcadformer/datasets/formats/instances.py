# SPDX-License-Identifier: Apache-2.0
"""``instances.json`` of the RefCOCO layout: images, objects, categories."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import prod
from typing import Any

from pycocotools import mask as mask_utils

from ...imagery import MAX_PIXELS
from ...utils.plain_data import shorten
from ..masks import check_segmentation, compressed_segments, text_rle
from ..records import AnnotationError, Id, Record, integer_ids, is_id, numbered
from ..targets import targets_of
from .base import as_length, expect, parse_json_file, read_file, require


class Instances:
    """``instances.json``, indexed by id; entries are checked when they are used."""

    def __init__(self, path: str, backend_args: dict | None = None) -> None:
        self.path = path
        content = parse_json_file(read_file(path, backend_args), path)
        require(content, ('images', 'annotations'), path)
        self._images = self._index(content, 'images')
        self._annotations = self._index(content, 'annotations')
        categories = content.get('categories')
        self._categories = {
            entry.get('id'): entry.get('name')
            for entry in (categories if isinstance(categories, list) else ())
            if isinstance(entry, dict) and is_id(entry.get('id'))
        }

    def _index(self, content: Record, kind: str) -> dict[Id, Any]:
        """Entries by id; a list of them where an id is used twice."""
        is_list = isinstance(content[kind], list)
        expect(is_list, 'file', f'{self.path}: {kind} must be a list')
        index: dict[Id, Any] = {}
        for position, entry in enumerate(content[kind]):
            require(entry, ('id',), f'{self.path}: {kind}[{position}]')
            key = entry['id']
            index[key] = [entry, index[key]] if key in index else entry
        return index

    def _get(self, index: dict[Id, Any], kind: str, key: Id, where: str) -> Record:
        what = f'{kind} id {shorten(key)}'
        missing = f'{where} refers to {what}, which {self.path} does not have'
        expect(key in index, 'id', missing)
        twice = f'{self.path}: {what}, used by {where}, belongs to more than one entry'
        expect(not isinstance(index[key], list), 'id', twice)
        return index[key]

    def image(self, image_id: Id, where: str) -> Record:
        """Entry of an image with file name and size."""
        image = self._get(self._images, 'image', image_id, where)
        entry = f'{self.path}: image id {shorten(image_id)} (used by {where})'
        require(image, ('file_name', 'height', 'width'), entry)
        name = image['file_name']
        is_text = isinstance(name, str) and name != ''
        what = f'file_name must be text, got {shorten(name)}'
        expect(is_text, 'entry', f'{entry}: {what}')
        size = {key: as_length(image[key]) for key in ('height', 'width')}
        for key, length in size.items():
            what = f'{key} must be a positive whole number, got {shorten(image[key])}'
            expect(length is not None, 'entry', f'{entry}: {what}')
        large = f'more than max_pixels = {MAX_PIXELS}: {tuple(size.values())}'
        pixels = prod(length or 0 for length in size.values())
        expect(pixels <= MAX_PIXELS, 'entry', f'{entry}: {large}')
        return dict(image, **size)

    def annotation(self, ann_id: Id, where: str) -> Record:
        """Entry of an object."""
        return self._get(self._annotations, 'annotation', ann_id, where)

    def mask(
        self,
        ann_id: Id,
        image: Record,
        where: str,
        clean: Callable[[object, str], object],
    ) -> tuple[Record, float]:
        """Entry of an object whose mask fits the image; its overhang in pixels.

        ``clean`` gets the segmentation and its place, and returns what is good of it.
        """
        annotation = self.annotation(ann_id, where)
        entry = f'{self.path}: annotation id {shorten(ann_id)} (used by {where})'
        require(annotation, ('segmentation',), entry)
        image_id = annotation.get('image_id', image['id'])
        belongs = f'belongs to image id {shorten(image_id)}'
        other = f'{entry} {belongs}, not {shorten(image["id"])}'
        expect(image_id == image['id'], 'id', other)
        segmentation = clean(annotation['segmentation'], entry)
        try:
            overhang = check_segmentation(segmentation, image['height'], image['width'])
        except ValueError as error:
            raise AnnotationError('mask', f'{entry}: {error}') from None
        return dict(annotation, segmentation=segmentation), overhang

    def category(self, category_id: Any) -> str | None:
        """Name of a category, if it has one."""
        name = self._categories.get(category_id) if is_id(category_id) else None
        return name if isinstance(name, str) else None

    def unused_damage(
        self, used_annotations: Collection[Id], used_images: Collection[Id]
    ) -> list[AnnotationError]:
        """Damage in entries that are not used."""
        found = []
        for key, entry in self._annotations.items():
            if key in used_annotations:
                continue
            if isinstance(entry, list):
                found.append(f'annotation id {shorten(key)} is used twice')
                continue
            image_id = entry.get('image_id')
            if not is_id(image_id) or image_id not in self._images:
                text = f'refers to image id {shorten(image_id)}, which is not there'
                found.append(f'annotation id {shorten(key)} {text}')
        for key, entry in self._images.items():
            if isinstance(entry, list) and key not in used_images:
                found.append(f'image id {shorten(key)} is used twice')
        return [AnnotationError('unused', f'{self.path}: {text}') for text in found]


def make_instances(
    objects: Sequence[Record], names: Mapping[str, str], categories: Iterable[str]
) -> Record:
    """Content of ``instances.json`` (see ``write_annotations`` of ``refcoco``).

    ``names`` are file names by image path, ``categories`` in the order of their
    numbers. ValueError where records that share an id don't agree.
    """
    numbers = {name: number for number, name in enumerate(categories, 1)}
    image_ids = integer_ids(obj['image_id'] for obj in objects)
    targets = [dict(obj, **target) for obj in objects for target in targets_of(obj)]
    ann_ids = integer_ids(target['ann_id'] for target in targets)

    def image(obj: Record) -> Record:
        return dict(
            numbered('id', image_ids, obj['image_id']),
            file_name=names[obj['img_path']],
            height=obj['height'],
            width=obj['width'],
        )

    def annotation(obj: Record) -> Record:
        segments = compressed_segments(obj['segmentation'], obj['height'], obj['width'])
        rle = mask_utils.merge(segments)
        mixed = len({type(segment) for segment in obj['segmentation']}) > 1
        entry = dict(
            numbered('id', ann_ids, obj['ann_id']),
            image_id=image_ids[obj['image_id']],
            category_id=numbers[obj['category']],
            segmentation=[text_rle(rle)] if mixed else obj['segmentation'],
            bbox=[float(value) for value in mask_utils.toBbox(rle)],
            area=int(mask_utils.area(rle)),
            iscrowd=0,
        )
        if 'attributes' in obj:
            entry['attributes'] = obj['attributes']
        return entry

    return dict(
        images=_unique(objects, 'image_id', image),
        annotations=_unique(targets, 'ann_id', annotation),
        categories=[dict(id=number, name=name) for name, number in numbers.items()],
    )


def _unique(
    objects: Iterable[Record], key: str, make: Callable[[Record], Record]
) -> list[Record]:
    """One entry per id; records that share one must agree."""
    entries: dict[Id, Record] = {}
    for obj in objects:
        entry = make(obj)
        if entries.setdefault(obj[key], entry) != entry:
            raise ValueError(
                f'{key} {shorten(obj[key])} of ref_id {shorten(obj.get("ref_id"))} is '
                f'used for '
                'something else too (another file, size, category or mask)'
            )
    return list(entries.values())
