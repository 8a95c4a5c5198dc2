# SPDX-License-Identifier: Apache-2.0
"""Every folder in the RefCOCO layout that is written here is read as others read it."""

import pickle

import pytest

import mmcadformer  # noqa: F401  (registers)
from mmcadformer.datasets import ReferringSegDataset
from mmcadformer.datasets.formats import write_refcoco
from mmcadformer.datasets.inspection import open_layout, read_whole
from mmcadformer.synthrs import generate_synthrs


def test_synthrs(tmp_path, refer):
    counts = dict(train=6, val=2, test=2)
    generate_synthrs(tmp_path, counts, image_size=64, progress=False)
    peer = refer.check_as_peer(tmp_path, 'synthrs')
    forms = {type(a['segmentation'][0]) for a in peer.annotations.values()}
    assert forms == {list, dict}


@pytest.mark.parametrize('layout', ['toy', 'lines', 'segrs'])
def test_converted(request, tmp_path, layout, refer):
    source = request.getfixturevalue(layout)
    if layout == 'lines':
        del source.lines[5]  # no target
        # Polygons and run lengths in one segmentation.
        source.lines[4]['mask'].append(source.lines[1]['mask'])
    root = str(source.write())
    dataset = {
        'toy': lambda: open_layout('refcoco', root, 'toy'),
        'lines': lambda: open_layout('json', root),
        'segrs': lambda: open_layout('refsegrs', root),
    }[layout]()
    objects = read_whole(dataset)
    write_refcoco(objects, tmp_path / 'new', 'mine', progress=False)
    refer.check_as_peer(tmp_path / 'new', 'mine')


@pytest.fixture
def renamed(segrs, tmp_path):
    """RefSegRS, whose ids are text, in the RefCOCO layout."""
    objects = read_whole(open_layout('refsegrs', str(segrs.write())))
    write_refcoco(objects, tmp_path, 'mine', progress=False)
    return tmp_path


def test_ids_that_were_text_stand_beside_their_numbers(renamed, refer):
    peer = refer.Refer(renamed / 'mine')
    ids = {ref_id: ref.get('original_id') for ref_id, ref in peer.refs.items()}
    # What spells a number becomes that number.
    assert ids == {7: None, 12: None, 13: 'b', 14: 'a_1'}
    assert {i: e.get('original_id') for i, e in peer.images.items()} == ids
    assert {i: e.get('original_id') for i, e in peer.annotations.items()} == ids


@pytest.mark.parametrize('listed', ['14', 'a_1'])
def test_exclude_file_takes_numbers_and_original_ids(renamed, tmp_path, listed):
    path = tmp_path / 'out.txt'
    path.write_text(f'{listed}\n7\n')
    dataset = open_layout('refcoco', str(renamed), 'mine')
    left = {obj['ref_id'] for obj in read_whole(dataset, excluded={listed, '7'})}
    assert left == {12, 13}
    # A damaged entry, too.
    refs_path = renamed / 'mine' / 'refs(unc).p'
    refs = pickle.loads(refs_path.read_bytes())
    for ref in refs:
        ref['split'] = 'train' if ref['ref_id'] != 14 else 5
    refs_path.write_bytes(pickle.dumps(refs))
    with pytest.raises(ValueError, match='ref_id 14: split must be text'):
        ReferringSegDataset(str(renamed), 'mine')
    used = ReferringSegDataset(str(renamed), 'mine', exclude_file=str(path))
    assert {record['ref_id'] for record in used} == {12, 13}
