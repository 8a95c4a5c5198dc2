# SPDX-License-Identifier: Apache-2.0
"""The RefCOCO layout, and the datasets that come in it."""

import logging
import os.path as osp

from mmengine.fileio import exists, get
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from .masks import check_segmentation
from .referring_dataset import BaseReferringDataset, parse_json
from .safe_pickle import load_plain_pickle

_REF_FILES = ('refs.json', 'refs(unc).p')


@DATASETS.register_module()
class ReferringSegDataset(BaseReferringDataset):
    """Referring segmentation data in the RefCOCO layout.

    .. code-block:: none

        <data_root>
        ├── <name>
        │   ├── refs(unc).p       (or refs.json, which is preferred)
        │   └── instances.json
        └── images/<name>/JPEGImages/

    ``refs(unc).p`` is a pickle, read without running anything in it; a JSON
    file with the same content may stand beside it. Expressions are the ``raw``
    texts (``sent`` where there is none). Segmentations may be polygons or
    RLEs, compressed or not, several per object.

    Args:
        data_root (str): Root folder of the data.
        name (str): Folder below the root, such as ``'rrsisd'``.
        ann_file (str): File of references, absolute or below ``data_root``,
            with ``instances.json`` beside it. Defaults to the layout's.
        **kwargs: See :class:`BaseReferringDataset`.
    """

    def __init__(self, data_root, name, ann_file='', **kwargs):
        super().__init__(data_root, name, ann_file=ann_file, **kwargs)

    def default_img_dir(self):
        """str: ``images/<name>/JPEGImages``."""
        return f'images/{self.name}/JPEGImages'

    def expected_tree(self):
        """str: The layout with this dataset's names."""
        return (
            f'Expected below {self.data_root}:\n'
            f'  {self.name}/refs(unc).p  (or {self.name}/refs.json)\n'
            f'  {self.name}/instances.json\n'
            f'  images/{self.name}/JPEGImages/<the images>'
        )

    def load_objects(self):
        """Objects of the split, one per entry of the file of references."""
        refs_path = self._find_refs()
        instances = _Instances(
            self._find(osp.join(osp.dirname(refs_path), 'instances.json')),
            self.backend_args,
        )
        refs = _read_refs(refs_path, self.backend_args)
        return [
            self._object(ref, instances, f'{refs_path}: ref_id {ref["ref_id"]}')
            for ref in self.select_refs(refs, refs_path)
        ]

    def _object(self, ref, instances, where):
        image = instances.image(ref['image_id'], where)
        annotation = instances.annotation(ref['ann_id'], image, where)
        expressions, sent_ids = _sentences(ref, where)
        return dict(
            img_path=osp.join(self.data_prefix['img_path'], image['file_name']),
            image_id=image['id'],
            ref_id=ref['ref_id'],
            ann_id=annotation['id'],
            category=instances.category(annotation, ref),
            height=image['height'],
            width=image['width'],
            segmentation=annotation['segmentation'],
            expressions=self.check_expressions(expressions, where),
            sent_ids=sent_ids,
            split=ref['split'],
        )

    def _find_refs(self):
        if self.ann_file:
            return self._find(self.ann_file)
        folder = osp.join(self.data_root, self.name)
        for file_name in _REF_FILES:
            path = osp.join(folder, file_name)
            if exists(path, backend_args=self.backend_args):
                return path
        raise FileNotFoundError(
            f'neither {" nor ".join(_REF_FILES)} found in {folder}. '
            f'{self.expected_tree()}'
        )

    def _find(self, path):
        if not exists(path, backend_args=self.backend_args):
            raise FileNotFoundError(f'{path} does not exist. {self.expected_tree()}')
        return path


def _read_refs(path, backend_args):
    """Entries of a file of references, each with the keys that are needed."""
    data = get(path, backend_args=backend_args)
    if path.endswith('.json'):
        refs = parse_json(data, path)
    else:
        refs = load_plain_pickle(data, path)
    if not isinstance(refs, list):
        raise ValueError(
            f'{path}: expected a list of references, got {type(refs).__name__}'
        )
    for position, ref in enumerate(refs):
        _require(
            ref,
            ('ref_id', 'ann_id', 'image_id', 'split', 'sentences'),
            f'{path}: entry {position}',
        )
    return refs


def _sentences(ref, where):
    """Texts and ids of a reference's sentences."""
    sentences = ref['sentences']
    if not isinstance(sentences, list):
        raise ValueError(f'{where}: sentences must be a list')
    ids = ref.get('sent_ids')
    ids = ids if isinstance(ids, list) else ()
    texts, sent_ids = [], []
    for position, sentence in enumerate(sentences):
        if not isinstance(sentence, dict):
            raise ValueError(
                f'{where}: sentence {position} must be a dict '
                f"with the text under 'raw', got {sentence!r}"
            )
        texts.append(sentence.get('raw') or sentence.get('sent'))
        fallback = ids[position] if position < len(ids) else position
        sent_ids.append(sentence.get('sent_id', fallback))
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
        _require(content, ('images', 'annotations'), path)
        self._images = self._index(content, 'images')
        self._annotations = self._index(content, 'annotations')
        self._categories = {
            entry.get('id'): entry.get('name')
            for entry in content.get('categories') or ()
            if isinstance(entry, dict) and _is_id(entry.get('id'))
        }
        self._unnamed = set()

    def _index(self, content, kind):
        """Entries by id; a list of them where an id is used twice."""
        if not isinstance(content[kind], list):
            raise ValueError(f'{self.path}: {kind} must be a list')
        index = {}
        for position, entry in enumerate(content[kind]):
            _require(entry, ('id',), f'{self.path}: {kind}[{position}]')
            key = entry['id']
            index[key] = [entry, index[key]] if key in index else entry
        return index

    def _get(self, index, kind, key, where):
        entry = index.get(_check_id(key, where))
        if entry is None:
            raise ValueError(
                f'{where} refers to {kind} id {key!r}, which {self.path} does not have'
            )
        if isinstance(entry, list):
            raise ValueError(
                f'{self.path}: {kind} id {key!r}, used by {where}, belongs to '
                'more than one entry'
            )
        return entry

    def image(self, image_id, where):
        """dict: Entry of an image with file name and size."""
        image = self._get(self._images, 'image', image_id, where)
        entry = f'{self.path}: image id {image_id!r}'
        _require(image, ('file_name', 'height', 'width'), entry)
        if not image['file_name'] or not isinstance(image['file_name'], str):
            raise ValueError(
                f'{entry}: file_name must be text, got {image["file_name"]!r}'
            )
        for key in ('height', 'width'):
            if not isinstance(image[key], int) or image[key] < 1:
                raise ValueError(
                    f'{entry}: {key} must be a positive whole '
                    f'number, got {image[key]!r}'
                )
        return image

    def annotation(self, ann_id, image, where):
        """dict: Entry of an object whose mask fits the image."""
        annotation = self._get(self._annotations, 'annotation', ann_id, where)
        entry = f'{self.path}: annotation id {ann_id!r}'
        _require(annotation, ('segmentation',), entry)
        if annotation.get('image_id', image['id']) != image['id']:
            raise ValueError(
                f'{entry} belongs to image id {annotation["image_id"]!r}, but '
                f'{where} uses it with image id {image["id"]!r}'
            )
        try:
            check_segmentation(
                annotation['segmentation'], image['height'], image['width']
            )
        except ValueError as error:
            raise ValueError(f'{entry} (used by {where}): {error}') from None
        return annotation

    def category(self, annotation, ref):
        """str: Name of the object's category.

        The category is only used in reports, so an id without a name is no
        reason to stop.
        """
        key = annotation.get('category_id', ref.get('category_id'))
        name = self._categories.get(key) if _is_id(key) else None
        if isinstance(name, str):
            return name
        if str(key) not in self._unnamed:
            self._unnamed.add(str(key))
            print_log(
                f'{self.path}: category id {key!r} has no name in '
                "'categories'; reports show the id instead",
                logger='current',
                level=logging.WARNING,
            )
        return str(key)


def _require(entry, keys, where):
    if not isinstance(entry, dict):
        raise ValueError(f'{where}: expected a dict, got {type(entry).__name__}')
    for key in keys:
        if key not in entry:
            raise ValueError(f'{where} has no {key!r}')
        if key.endswith('id'):
            _check_id(entry[key], where)


def _is_id(value):
    return isinstance(value, (int, str))


def _check_id(value, where):
    if _is_id(value):
        return value
    raise ValueError(f'{where}: an id must be a number or text, got {value!r}')


@DATASETS.register_module()
class RRSISDDataset(ReferringSegDataset):
    """RRSIS-D: 17,402 triplets on 800 x 800 px images, from DIOR-RSVG."""

    METAINFO = dict(
        classes=(
            'airplane',
            'airport',
            'golf field',
            'expressway service area',
            'baseball field',
            'stadium',
            'ground track field',
            'storage tank',
            'basketball court',
            'chimney',
            'tennis court',
            'overpass',
            'train station',
            'ship',
            'expressway toll station',
            'dam',
            'harbor',
            'bridge',
            'vehicle',
            'windmill',
        )
    )

    def __init__(self, data_root, name='rrsisd', **kwargs):
        super().__init__(data_root, name, **kwargs)


@DATASETS.register_module()
class RRSISHRDataset(ReferringSegDataset):
    """RRSIS-HR: 2,650 triplets on 1024 x 1024 px images, from RSVG-HR."""

    METAINFO = dict(
        classes=(
            'baseball field',
            'basketball field',
            'ground track field',
            'roundabout',
            'swimming pool',
            'storage tank',
            'tennis court',
        )
    )

    def __init__(self, data_root, name='rrsishr', **kwargs):
        super().__init__(data_root, name, **kwargs)


@DATASETS.register_module()
class SynthRSDataset(ReferringSegDataset):
    """SynthRS: drawn overhead scenes with the categories of RRSIS-HR."""

    METAINFO = RRSISHRDataset.METAINFO

    def __init__(self, data_root, name='synthrs', **kwargs):
        super().__init__(data_root, name, **kwargs)
