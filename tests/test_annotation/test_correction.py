# SPDX-License-Identifier: Apache-2.0
"""Masks go to CVAT or Label Studio and come back."""

import copy
import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mmcadformer.annotation import (
    Decision,
    Review,
    correction,
    export_for_correction,
    read_corrections,
    settle,
)
from mmcadformer.annotation.correction import flat_names, to_coco
from mmcadformer.annotation.workspace import ItemMask


@pytest.fixture
def flagged(workspace):
    """Outcome in which every second item is to be fixed."""
    decisions = {
        item.item_id: Decision(
            'fix' if number % 2 else 'accept',
            workspace.masks[item.item_id].digest,
            f'note {number}' if number == 1 else '',
        )
        for number, item in enumerate(workspace.items)
    }
    return settle(workspace, [Review('Ann', decisions)])


@pytest.fixture
def exported(workspace, flagged, tmp_path):
    folder = tmp_path / 'flagged'
    export_for_correction(workspace, folder, flagged)
    return folder


def to_fix(workspace):
    return [item.item_id for item in workspace.items][1::2]


@pytest.mark.parametrize('shape', ['polygon', 'rle'])
def test_what_was_exported_comes_back(workspace, flagged, tmp_path, shape):
    folder = tmp_path / 'flagged'
    count = export_for_correction(workspace, folder, flagged, shape=shape)
    assert count == len(to_fix(workspace))
    # Read by the reference implementation, as the tools do.
    coco = COCO(str(folder / 'annotations.json'))
    for image in coco.loadImgs(coco.getImgIds()):
        assert (folder / 'images' / image['file_name']).is_file()
    for annotation in coco.loadAnns(coco.getAnnIds()):
        area = coco.annToMask(annotation).sum()
        assert annotation['area'] == area > 0
        assert annotation['iscrowd'] == (shape == 'rle')
        box = mask_utils.toBbox(coco.annToRLE(annotation))
        assert annotation['bbox'] == box.tolist()
    corrected = read_corrections(workspace, [folder / 'annotations.json'])
    assert sorted(corrected) == sorted(to_fix(workspace))
    for item_id, mask in corrected.items():
        assert mask.corrected and mask.predicted_iou is None
        assert np.array_equal(mask.to_array(), workspace.masks[item_id].to_array())


def test_notes_and_sentences_go_along(workspace, exported):
    content = json.loads((exported / 'annotations.json').read_text())
    item = workspace.items[1]
    (attributes,) = (
        annotation['attributes']
        for annotation in content['annotations']
        if annotation['attributes']['item_ids'] == item.item_id
    )
    assert attributes['note'] == 'note 1'
    assert attributes['expression'] == ' | '.join(item.expressions)


def as_from_a_tool(content):
    """Numbers anew, other order, names with a prefix, a box for each polygon."""
    content = copy.deepcopy(content)
    images = {entry['id']: entry for entry in content['images'][::-1]}
    categories = {entry['id']: entry for entry in content['categories'][::-1]}
    image_ids = {old: new for new, old in enumerate(images, 100)}
    category_ids = {old: new for new, old in enumerate(categories)}
    annotations = [
        dict(
            id=number,
            image_id=image_ids[annotation['image_id']],
            category_id=category_ids[annotation['category_id']],
            segmentation=annotation['segmentation'],
        )
        for number, annotation in enumerate(content['annotations'][::-1])
    ]
    boxes = [dict(entry, segmentation=[], bbox=[0, 0, 9, 9]) for entry in annotations]
    return dict(
        images=[
            dict(
                id=image_ids[old],
                file_name=f'images\\0a1b2c3d-{entry["file_name"]}',
                width=entry['width'],
                height=entry['height'],
            )
            for old, entry in images.items()
        ],
        categories=[
            dict(id=category_ids[old], name=entry['name'])
            for old, entry in categories.items()
        ],
        annotations=[*boxes, *annotations],
    )


def read_changed(workspace, tmp_path, content):
    path = tmp_path / 'corrected.json'
    path.write_text(json.dumps(content))
    return read_corrections(workspace, [path])


def test_tools_number_anew_and_rename(workspace, exported, tmp_path):
    content = as_from_a_tool(json.loads((exported / 'annotations.json').read_text()))
    corrected = read_changed(workspace, tmp_path, content)
    assert sorted(corrected) == sorted(to_fix(workspace))
    for item_id, mask in corrected.items():
        assert np.array_equal(mask.to_array(), workspace.masks[item_id].to_array())


def test_parts_of_an_object_are_joined(workspace, exported, tmp_path):
    content = json.loads((exported / 'annotations.json').read_text())
    annotation = content['annotations'][0]
    item_id = annotation['attributes']['item_ids']
    mask = workspace.masks[item_id].to_array()
    columns = np.flatnonzero(mask.any(axis=0))
    middle = int(columns[len(columns) // 2])
    halves = []
    for part in (mask[:, :middle], mask[:, middle:]):
        half = np.zeros_like(mask)
        offset = 0 if part.shape[1] == middle else middle
        half[:, offset : offset + part.shape[1]] = part
        rle = mask_utils.encode(np.asfortranarray(half, dtype=np.uint8))
        counts = rle['counts'].decode()
        halves.append(dict(annotation, segmentation=dict(rle, counts=counts)))
    content['annotations'] = [*halves, *content['annotations'][1:]]
    corrected = read_changed(workspace, tmp_path, content)
    assert np.array_equal(corrected[item_id].to_array(), mask)


def test_parts_without_area_beside_good_ones_are_left_out(
    workspace, exported, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(correction, 'warn', said.append)
    content = json.loads((exported / 'annotations.json').read_text())
    expected = read_changed(workspace, tmp_path, content)
    content['annotations'][0]['segmentation'] += [[3, 3], [3, 3, 9, 9]]
    corrected = read_changed(workspace, tmp_path, content)
    for item_id, mask in expected.items():
        assert np.array_equal(corrected[item_id].to_array(), mask.to_array())
    (note,) = said
    assert 'corrected.json: annotation 1: 2 parts of fewer than three points' in note


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c['images'][0].update(file_name='x.jpg'), "'x.jpg' is none of"),
        (lambda c: c['images'][0].update(width=99), r'height and width \(64, 99\)'),
        (lambda c: c['categories'][0].update(name='cow'), 'in no box of an item'),
        (lambda c: c['annotations'][0].update(image_id=99), 'no entry 99'),
        (lambda c: c['annotations'][0].update(segmentation=[[1, 2]]), 'polygon must'),
        (lambda c: c.pop('images'), "no list 'images'"),
        (lambda c: c['images'].append(3), r'images\[\d\] must have id and file_name'),
        (lambda c: c['categories'][0].pop('name'), r'categories\[0\] must have id'),
        (
            lambda c: c['annotations'].append([]),
            r'annotations\[\d+\] must have image_id',
        ),
        (lambda c: c['annotations'][0].update(image_id=[1]), 'text or numbers'),
    ],
)
def test_what_can_not_be_matched_is_named(
    workspace, exported, tmp_path, change, message
):
    content = json.loads((exported / 'annotations.json').read_text())
    change(content)
    with pytest.raises(ValueError, match=message) as error:
        read_changed(workspace, tmp_path, content)
    assert 'corrected.json' in str(error.value)


def test_masks_drawn_elsewhere_belong_to_no_box(workspace, exported, tmp_path):
    content = json.loads((exported / 'annotations.json').read_text())
    content['annotations'] = content['annotations'][:1]
    corner = [[0.0, 0.0, 3.0, 0.0, 3.0, 2.0]]
    x, y = content['annotations'][0]['bbox'][:2]
    assert x > 3 or y > 2
    content['annotations'][0]['segmentation'] = corner
    with pytest.raises(ValueError, match='lies in no box of an item'):
        read_changed(workspace, tmp_path, content)


def test_the_largest_part_is_the_first_polygon(workspace):
    item = workspace.items[0]
    mask = np.zeros((64, 64), bool)
    mask[1:3, 1:3] = mask[10:40, 10:30] = mask[50:60, 50:60] = True
    masks = {item.item_id: ItemMask.from_array(mask)}
    content = to_coco([item], masks, {item.image: 'x.jpg'}, {item.image: (64, 64)})
    polygons = content['annotations'][0]['segmentation']
    xs = [polygon[::2] for polygon in polygons]
    assert [max(x) - min(x) for x in xs] == [20, 10, 2]


def test_an_empty_mask_is_exported_as_its_box(workspace):
    item = workspace.items[0]
    masks = {item.item_id: ItemMask.from_array(np.zeros((64, 64), bool))}
    content = to_coco([item], masks, {item.image: 'x.jpg'}, {item.image: (64, 64)})
    left, top, right, bottom = item.box
    assert content['annotations'][0]['area'] == (right - left) * (bottom - top)


def test_nothing_to_export_and_no_overwriting(workspace, flagged, exported, tmp_path):
    with pytest.raises(FileExistsError, match='not empty'):
        export_for_correction(workspace, exported, flagged)
    with pytest.raises(ValueError, match='nothing to correct'):
        export_for_correction(workspace, tmp_path / 'new', settle(workspace))
    count = export_for_correction(
        workspace, tmp_path / 'new', settle(workspace), min_suspicion=0.0
    )
    assert count == len(workspace.items)


def test_flat_names():
    assert flat_names(['a/x.png', 'b/y.png']) == {
        'a/x.png': 'x.png',
        'b/y.png': 'y.png',
    }
    names = flat_names(['a/x.png', 'b/X.png'])
    assert names == {'a/x.png': 'a__x.png', 'b/X.png': 'b__X.png'}
    with pytest.raises(ValueError, match='capital letters'):
        flat_names(['a/x.png', 'A/x.png'])
