# SPDX-License-Identifier: Apache-2.0
"""A reader of the RefCOCO layout that behaves as those of other projects."""

import json
import pickle

import numpy as np
from pycocotools import mask as mask_utils

from mmcadformer.datasets import ReferringSegDataset, decode_segmentation


class Refer:
    """Indexes and decodes as the ``refer.py`` that RMSIN, FIANet and CADFormer share.

    Written after its behaviour: tables by integer id, polygons if the first segment
    is a list, otherwise a list of RLEs.
    """

    def __init__(self, folder):
        content = json.loads((folder / 'instances.json').read_text())
        self.images = {entry['id']: entry for entry in content['images']}
        self.annotations = {entry['id']: entry for entry in content['annotations']}
        self.categories = {e['id']: e['name'] for e in content['categories']}
        refs = pickle.loads((folder / 'refs(unc).p').read_bytes())
        self.refs = {ref['ref_id']: ref for ref in refs}
        self.sentences = {
            sentence['sent_id']: sentence
            for ref in refs
            for sentence in ref['sentences']
        }
        assert len(self.refs) == len(refs)
        assert len(self.sentences) == sum(len(ref['sent_ids']) for ref in refs)

    def mask(self, ref):
        annotation = self.annotations[ref['ann_id']]
        image = self.images[ref['image_id']]
        if type(annotation['segmentation'][0]) == list:  # noqa: E721  (as there)
            rles = mask_utils.frPyObjects(
                annotation['segmentation'], image['height'], image['width']
            )
        else:
            rles = annotation['segmentation']
        return np.sum(mask_utils.decode(rles), axis=2) > 0


def check_as_peer(root, name):
    """All ids are integers, and masks and sentences those of our own reader."""
    peer = Refer(root / name)
    tables = (peer.images, peer.annotations, peer.categories, peer.refs, peer.sentences)
    assert {type(key) for table in tables for key in table} == {int}
    splits = {ref['split'] for ref in peer.refs.values()}
    ours = {}
    for split in splits:
        for record in ReferringSegDataset(str(root), name, split=split):
            ours[record['ref_id']] = record
    assert ours.keys() == peer.refs.keys() and ours
    for ref_id, ref in peer.refs.items():
        record = ours[ref_id]
        mask = decode_segmentation(
            record['segmentation'], record['height'], record['width']
        )
        np.testing.assert_array_equal(peer.mask(ref), mask.astype(bool))
        said = [sentence['raw'] for sentence in ref['sentences']]
        assert said == record['expressions']
        assert [peer.sentences[i]['raw'] for i in ref['sent_ids']] == said
        assert peer.categories[ref['category_id']] == record['category']
        assert ref['file_name'] == peer.images[ref['image_id']]['file_name']
    return peer
