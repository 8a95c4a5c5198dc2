# SPDX-License-Identifier: Apache-2.0
"""Datasets in the RefCOCO layout."""

import os.path as osp

from mmengine.fileio import exists
from mmseg.registry import DATASETS

from .formats import RefCOCOReader
from .formats.refcoco import INSTANCES, find_refs
from .referring_dataset import BaseReferringDataset


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

    def open_reader(self):
        """RefCOCOReader: Reader of the file of references."""
        if self.ann_file:
            refs_path = self._find(self.ann_file)
        else:
            folder = osp.join(self.data_root, self.name)
            try:
                refs_path = find_refs(folder, self.backend_args)
            except FileNotFoundError as error:
                raise FileNotFoundError(f'{error}. {self.expected_tree()}') from None
        return RefCOCOReader(
            refs_path,
            self._find(osp.join(osp.dirname(refs_path), INSTANCES)),
            self.data_prefix['img_path'],
            self.backend_args,
        )

    def _find(self, path):
        if not exists(path, backend_args=self.backend_args):
            raise FileNotFoundError(f'{path} does not exist. {self.expected_tree()}')
        return path


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
