# SPDX-License-Identifier: Apache-2.0
"""Reader of the RefCOCO layout."""

import os.path as osp

from mmengine.fileio import get

from ...utils.plain_pickle import load_plain_pickle
from ..errors import AnnotationError, fail
from ..masks import check_segmentation
from .base import (
    LayoutReader,
    check_expressions,
    check_split,
    is_id,
    is_length,
    parse_json,
    require,
)

# Outlines that were rounded, or drawn from pixel centres, end up to here.
TOLERATED_OVERHANG = 2.0


class RefCOCOReader(LayoutReader):
    """Reads a file of references and its ``instances.json``.

    Args:
        refs_path (str): ``refs(unc).p``, or a ``.json`` file with its content.
        instances_path (str): ``instances.json``.
        img_dir (str): Folder that file names of images are below.
        backend_args (dict, optional): Of MMEngine's file backend.
    """

    def __init__(self, refs_path, instances_path, img_dir, backend_args=None):
        super().__init__(refs_path, backend_args)
        self.instances_path = instances_path
        self.img_dir = img_dir
        self._instances = None

    def entries(self, split=None, report=fail):
        """Entries of the file of references."""
        self._instances = _Instances(self.instances_path, self.backend_args)
        refs = read_refs(self.source, self.backend_args)
        return list(_usable(refs, self.source, report))

    def where(self, entry):
        """str: File and ``ref_id``."""
        return f'{self.source}: ref_id {entry["ref_id"]}'

    def make_object(self, entry):
        """Record of one reference with all its sentences."""
        where = self.where(entry)
        image = self._instances.image(entry['image_id'], where)
        annotation, overhang = self._instances.annotation(entry['ann_id'], image, where)
        if overhang > TOLERATED_OVERHANG:
            self._remark(
                'outside',
                entry,
                f'{self.instances_path}: annotation id {annotation["id"]!r} (used by '
                f'{where}): a polygon reaches {overhang:g} px out of its image',
            )
        expressions, sent_ids = _sentences(entry, where)
        return dict(
            img_path=osp.join(self.img_dir, image['file_name']),
            image_id=image['id'],
            ref_id=entry['ref_id'],
            ann_id=annotation['id'],
            category=self._category(annotation, entry, where),
            height=image['height'],
            width=image['width'],
            segmentation=annotation['segmentation'],
            expressions=check_expressions(expressions, where),
            sent_ids=sent_ids,
            split=entry['split'],
        )

    def unused_damage(self, entries):
        """Annotations without image, and ids that are used twice."""
        return self._instances.unused_damage(
            {entry['ann_id'] for entry in entries},
            {entry['image_id'] for entry in entries},
        )

    def _category(self, annotation, entry, where):
        """str: Name of the object's category.

        The category is only used in reports, so an id without a name is no
        reason to stop.
        """
        key = annotation.get('category_id', entry.get('category_id'))
        name = self._instances.category(key)
        if isinstance(name, str):
            return name
        self._remark(
            'category',
            entry,
            f'{self.instances_path}: category id {key!r}, used by {where}, has no '
            "name in 'categories'; reports show the id instead",
        )
        return str(key)

    def _remark(self, kind, entry, message):
        self.remarks.append(AnnotationError(kind, message, entry['ref_id']))


def read_refs(path, backend_args=None):
    """Content of a file of references.

    Args:
        path (str): Pickle, or JSON if the name ends so.
        backend_args (dict, optional): Of MMEngine's file backend.

    Returns:
        list: The references, unchecked.

    Raises:
        UnsafePickleError: The pickle asks for more than plain data.
        AnnotationError: The file can't be read or holds no list.
    """
    data = get(path, backend_args=backend_args)
    if path.endswith('.json'):
        refs = parse_json(data, path)
    else:
        refs = load_plain_pickle(data, path)
    if not isinstance(refs, list):
        raise AnnotationError(
            'file', f'{path}: expected a list of references, got {type(refs).__name__}'
        )
    return refs


def _usable(refs, path, report):
    for position, ref in enumerate(refs):
        where = f'{path}: entry {position}'
        try:
            require(ref, ('ref_id', 'ann_id', 'image_id', 'split', 'sentences'), where)
            check_split(ref['split'], f'{path}: ref_id {ref["ref_id"]}')
        except AnnotationError as error:
            ref_id = ref.get('ref_id') if isinstance(ref, dict) else None
            error.ref_id = ref_id if is_id(ref_id) else f'entry-{position}'
            report(error)
        else:
            yield ref


def _sentences(ref, where):
    """Texts and ids of a reference's sentences."""
    sentences = ref['sentences']
    if not isinstance(sentences, list):
        raise AnnotationError('expression', f'{where}: sentences must be a list')
    ids = ref.get('sent_ids')
    ids = ids if isinstance(ids, list) else ()
    texts, sent_ids = [], []
    for position, sentence in enumerate(sentences):
        if not isinstance(sentence, dict):
            raise AnnotationError(
                'expression',
                f'{where}: sentence {position} must be a dict '
                f"with the text under 'raw', got {sentence!r}",
            )
        texts.append(sentence.get('raw') or sentence.get('sent'))
        fallback = ids[position] if position < len(ids) else position
        sent_ids.append(sentence.get('sent_id', fallback))
        if not is_id(sent_ids[-1]):
            raise AnnotationError(
                'id',
                f'{where}: the id of sentence {position} must be a number or text, '
                f'got {sent_ids[-1]!r}',
            )
    return texts, sent_ids


class _Instances:
    """``instances.json``, indexed by id.

    Entries are looked at only when a reference uses them.

    Args:
        path (str): The file.
        backend_args (dict, optional): Of MMEngine's file backend.
    """

    def __init__(self, path, backend_args=None):
        self.path = path
        content = parse_json(get(path, backend_args=backend_args), path)
        require(content, ('images', 'annotations'), path)
        self._images = self._index(content, 'images')
        self._annotations = self._index(content, 'annotations')
        categories = content.get('categories')
        self._categories = {
            entry.get('id'): entry.get('name')
            for entry in (categories if isinstance(categories, list) else ())
            if isinstance(entry, dict) and is_id(entry.get('id'))
        }

    def _index(self, content, kind):
        """Entries by id; a list of them where an id is used twice."""
        if not isinstance(content[kind], list):
            raise AnnotationError('file', f'{self.path}: {kind} must be a list')
        index = {}
        for position, entry in enumerate(content[kind]):
            require(entry, ('id',), f'{self.path}: {kind}[{position}]')
            key = entry['id']
            index[key] = [entry, index[key]] if key in index else entry
        return index

    def _get(self, index, kind, key, where):
        entry = index.get(key)
        if entry is None:
            raise AnnotationError(
                'id',
                f'{where} refers to {kind} id {key!r}, which {self.path} does not have',
            )
        if isinstance(entry, list):
            raise AnnotationError(
                'id',
                f'{self.path}: {kind} id {key!r}, used by {where}, belongs to '
                'more than one entry',
            )
        return entry

    def image(self, image_id, where):
        """dict: Entry of an image with file name and size."""
        image = self._get(self._images, 'image', image_id, where)
        entry = f'{self.path}: image id {image_id!r} (used by {where})'
        require(image, ('file_name', 'height', 'width'), entry)
        if not image['file_name'] or not isinstance(image['file_name'], str):
            raise AnnotationError(
                'entry',
                f'{entry}: file_name must be text, got {image["file_name"]!r}',
            )
        for key in ('height', 'width'):
            if not is_length(image[key]):
                raise AnnotationError(
                    'entry',
                    f'{entry}: {key} must be a positive whole '
                    f'number, got {image[key]!r}',
                )
        return image

    def annotation(self, ann_id, image, where):
        """tuple: Entry of an object whose mask fits the image; its overhang."""
        annotation = self._get(self._annotations, 'annotation', ann_id, where)
        entry = f'{self.path}: annotation id {ann_id!r} (used by {where})'
        require(annotation, ('segmentation',), entry)
        if annotation.get('image_id', image['id']) != image['id']:
            raise AnnotationError(
                'id',
                f'{entry} belongs to image id {annotation["image_id"]!r}, not '
                f'{image["id"]!r}',
            )
        try:
            overhang = check_segmentation(
                annotation['segmentation'], image['height'], image['width']
            )
        except ValueError as error:
            raise AnnotationError('mask', f'{entry}: {error}') from None
        return annotation, overhang

    def category(self, category_id):
        """str: Name of a category, None if it has none."""
        return self._categories.get(category_id) if is_id(category_id) else None

    def unused_damage(self, used_annotations, used_images):
        """list[AnnotationError]: Damage in entries that are not used."""
        found = []
        for key, entry in self._annotations.items():
            if key in used_annotations:
                continue
            if isinstance(entry, list):
                found.append(self._unused(f'annotation id {key!r} is used twice'))
            elif not self._has_image(entry):
                found.append(
                    self._unused(
                        f'annotation id {key!r} refers to image id '
                        f'{entry.get("image_id")!r}, which is not there'
                    )
                )
        for key, entry in self._images.items():
            if isinstance(entry, list) and key not in used_images:
                found.append(self._unused(f'image id {key!r} is used twice'))
        return found

    def _has_image(self, annotation):
        image_id = annotation.get('image_id')
        return is_id(image_id) and image_id in self._images

    def _unused(self, text):
        return AnnotationError('unused', f'{self.path}: {text}')
