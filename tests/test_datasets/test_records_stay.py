# SPDX-License-Identifier: Apache-2.0
"""Records of data sets with one target a sentence stay as they were."""

import hashlib
import json

import pytest
from mmseg.registry import DATASETS

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.synthrs import generate_synthrs

# Of all records, in order, before sentences could have several targets.
KNOWN = {
    'train': '9a1446409843',
    'test': '75a719568121',
    'categories': 'f426117c1e20',
    'shuffled': '73347a58de65',
    'json train': '4331ab3c0281',
    'json val': 'bdf9fb4364f6',
    'json test': 'ab21795757a7',
    'refsegrs': '600ea9751285',
    'synthrs': '88c615cd7579',
    'synthrs refs': '6567d8c69bc4',
}


def digest(root, kind, **kwargs):
    """Start of the SHA-256 of a data set's records, with paths from its root on."""
    cfg = dict(kwargs, type=f'mmseg.{kind}', data_root=str(root), serialize_data=False)
    dataset = DATASETS.build(cfg)
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    text = '\n'.join(json.dumps(record, sort_keys=True) for record in records)
    return hashlib.sha256(text.replace(str(root), 'ROOT').encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    'options',
    [
        dict(split='train'),
        dict(split='test', test_mode=True),
        dict(split='train', category_expressions=['every {category}', 'all']),
        dict(split='train', test_mode=True, shuffle_expressions=True),
    ],
    ids=['train', 'test', 'categories', 'shuffled'],
)
def test_refcoco(toy, options, request):
    toy.annotations[3]['image_id'] = 7
    toy.refs[3].update(image_id=7, split='train')
    toy.refs.append(dict(toy.refs[0], ref_id=9))  # a second one for the same object
    toy.write()
    found = digest(toy.root, 'ReferringSegDataset', name='toy', **options)
    assert found == KNOWN[request.node.callspec.id]


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_json_lines(lines, split):
    lines.write()
    found = digest(lines.root, 'ReferringJsonDataset', split=split, test_mode=True)
    assert found == KNOWN[f'json {split}']


def test_refsegrs(segrs):
    segrs.write()
    assert digest(segrs.root, 'RefSegRSDataset', split='train') == KNOWN['refsegrs']


def test_synthrs(tmp_path):
    generate_synthrs(tmp_path, dict(train=4), image_size=64, progress=False)
    assert digest(tmp_path, 'SynthRSDataset', split='train') == KNOWN['synthrs']
    refs = (tmp_path / 'synthrs' / 'refs(unc).p').read_bytes()
    assert hashlib.sha256(refs).hexdigest()[:12] == KNOWN['synthrs refs']
