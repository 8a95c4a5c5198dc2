# SPDX-License-Identifier: Apache-2.0
"""Boxes from XML, the RefCOCO layout and JSON lines."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from mmcadformer.datasets.formats import (
    BadEntries,
    box_in_image,
    load_json_lines_boxes,
    load_refcoco_boxes,
    load_voc_boxes,
    read_items,
    write_items,
)

OBJECT = """
  <object>
    <name>{name}</name>
    <bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>
    {descriptions}
  </object>"""


def write_xml(path, image, objects):
    parts = [
        OBJECT.format(
            *box,
            name=name,
            descriptions=''.join(f'<description>{t}</description>' for t in texts),
        )
        for name, box, texts in objects
    ]
    named = f'<filename>{image}</filename>' if image else ''
    path.write_text(f'<annotation>{named}{"".join(parts)}</annotation>')


@pytest.fixture
def voc(tmp_path):
    annotations, images = tmp_path / 'Annotations', tmp_path / 'JPEGImages'
    annotations.mkdir()
    images.mkdir()
    for name in ('00001.jpg', '00002.jpg'):
        Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(images / name)
    tank, pool = (
        ('tank', (1, 2, 30, 20), ['left\n tank']),
        (
            'pool',
            (5, 6, 7, 8),
            ['a pool', 'the only pool'],
        ),
    )
    write_xml(annotations / '00002.xml', '', [tank])
    write_xml(annotations / '00001.xml', '00001.jpg', [tank, pool])
    return annotations, images


def test_voc_objects_in_the_order_of_files(voc):
    items = load_voc_boxes(*voc)
    assert [item.item_id for item in items] == ['00001#0', '00001#1', '00002#0']
    assert [item.image for item in items] == ['00001.jpg'] * 2 + ['00002.jpg']
    assert items[0].box == (1, 2, 30, 20)
    assert items[0].expressions == ('left tank',)
    assert items[1].expressions == ('a pool', 'the only pool')
    assert items[1].category == 'pool'
    assert items[0].split is None


def test_voc_one_based_boxes_begin_one_pixel_earlier(voc):
    assert load_voc_boxes(*voc, one_based=True)[0].box == (0, 1, 30, 20)


def test_voc_split_by_object_number(voc, tmp_path):
    for split, lines in (('train', '2\n0\n'), ('val', ''), ('test', '')):
        (tmp_path / f'{split}.txt').write_text(lines)
    items = load_voc_boxes(*voc, split_dir=tmp_path)
    assert [(i.item_id, i.split) for i in items] == [
        ('00001#0', 'train'),
        ('00002#0', 'train'),
    ]


def test_voc_split_by_image_with_and_without_ending(voc, tmp_path):
    (tmp_path / 'train.txt').write_text('00001\n')
    (tmp_path / 'test.txt').write_text('00002.jpg\n')
    items = load_voc_boxes(*voc, split_dir=tmp_path, split_unit='image')
    assert [item.split for item in items] == ['train', 'train', 'test']


def test_voc_split_line_in_two_files(voc, tmp_path):
    (tmp_path / 'train.txt').write_text('1\n')
    (tmp_path / 'test.txt').write_text('1\n')
    with pytest.raises(ValueError, match=r'test\.txt: 1 is in train\.txt too'):
        load_voc_boxes(*voc, split_dir=tmp_path)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('<name>tank</name>', '', r'no <name>'),
        ('<ymax>20</ymax>', '', r'no <ymax>'),
        ('<xmin>1</xmin>', '<xmin>31</xmin>', r'is empty'),
        ('<xmin>1</xmin>', '<xmin>one</xmin>', r'<bndbox> is damaged'),
        ('<xmin>1</xmin>', '<xmin>nan</xmin>', r'not finite'),
        ('</annotation>', '', r'not valid XML'),
        ('<filename>00001.jpg</filename>', '<filename>x.jpg</filename>', None),
        ('<description>left\n tank</description>', '', r'no <description>'),
        ('<annotation>', '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', r'entities'),
    ],
)
def test_voc_damage_names_the_file_or_is_left_out(voc, old, new, message):
    path = voc[0] / '00001.xml'
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    if message is None:  # found by the XML file's own name
        assert load_voc_boxes(*voc)[0].image == '00001.jpg'
        return
    with pytest.raises(ValueError, match=message) as error:
        load_voc_boxes(*voc)
    assert '00001.xml' in str(error.value)
    bad = BadEntries(skip=True)
    items = load_voc_boxes(*voc, bad=bad)
    assert '00002#0' in [item.item_id for item in items]
    assert '00001#0' not in [item.item_id for item in items]
    assert len(bad.found) == 1


def test_voc_without_image(voc):
    (voc[1] / '00002.jpg').unlink()
    with pytest.raises(ValueError, match='its image 00002 is not in'):
        load_voc_boxes(*voc)


@pytest.fixture
def refcoco(tmp_path):
    folder = tmp_path / 'mine'
    folder.mkdir()
    refs = [
        dict(
            ref_id=7,
            ann_id=3,
            image_id=1,
            split='val',
            sentences=[dict(raw='Left tank', sent='left tank'), dict(sent='it')],
        )
    ]
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs))
    instances = dict(
        images=[dict(id=1, file_name='a.png', height=9, width=9)],
        annotations=[dict(id=3, bbox=[1, 2, 3, 4], category_id=5)],
        categories=[dict(id=5, name='tank')],
    )
    (folder / 'instances.json').write_text(json.dumps(instances))
    return tmp_path


def test_refcoco_needs_no_masks(refcoco):
    (item,), images = load_refcoco_boxes(refcoco, 'mine')
    assert images == refcoco / 'images' / 'mine' / 'JPEGImages'
    assert item.item_id == 'ref-7'
    assert item.box == (1, 2, 4, 6)
    assert item.expressions == ('Left tank', 'it')
    assert (item.image, item.category, item.split) == ('a.png', 'tank', 'val')


DANGLING = {
    'image_id': 'refers to image id 99',
    'ann_id': 'refers to annotation id 99',
    'sentences': 'sentences must be a list',
}


@pytest.mark.parametrize('key', DANGLING)
def test_refcoco_dangling_reference(refcoco, key):
    path = refcoco / 'mine' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    refs[0][key] = 99
    path.write_bytes(pickle.dumps(refs))
    with pytest.raises(ValueError, match=f'entry 0: the reference:? {DANGLING[key]}'):
        load_refcoco_boxes(refcoco, 'mine')
    bad = BadEntries(skip=True)
    assert load_refcoco_boxes(refcoco, 'mine', bad)[0] == []
    assert len(bad.found) == 1


def test_json_lines(tmp_path):
    path = tmp_path / 'boxes.jsonl'
    lines = [
        dict(image='d/a.png', box=[1, 2, 3, 5], expression='x', category='c'),
        dict(image='b.png', bbox=[1, 2, 3, 5], expressions=['x', 'y'], category='c'),
    ]
    lines[1].update(id=4, split='test')
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n\n')
    first, second = load_json_lines_boxes(path)
    assert (first.item_id, first.box, first.split) == (
        'line-000001',
        (1, 2, 3, 5),
        None,
    )
    assert (second.item_id, second.box) == ('4', (1, 2, 4, 7))
    assert (second.expressions, second.split) == (('x', 'y'), 'test')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(box=[1, 2, 3]), 'four numbers'),
        (dict(box=None, bbox=[1, 2, 3]), 'exactly one of'),
        (dict(expression='  '), 'expression is empty'),
        (dict(expressions=['x']), 'exactly one of'),
        (dict(category=''), 'category must be text'),
        (dict(image='../../a.png'), 'not below the image folder'),
        (dict(colour='red'), r"unknown keys \['colour'\]"),
    ],
)
def test_json_lines_damage_names_the_line(tmp_path, change, message):
    path = tmp_path / 'boxes.jsonl'
    line = dict(image='a.png', box=[1, 2, 3, 5], expression='x', category='c')
    path.write_text(json.dumps(line) + '\n' + json.dumps({**line, **change}))
    with pytest.raises(ValueError, match=message) as error:
        load_json_lines_boxes(path)
    assert 'boxes.jsonl, line 2' in str(error.value)


def test_items_survive_the_file(voc, tmp_path):
    items = load_voc_boxes(*voc)
    write_items(tmp_path / 'items.json', items, source='here')
    assert read_items(tmp_path / 'items.json') == (items, dict(source='here'))


def test_boxes_may_reach_out_by_two_pixels_only():
    assert box_in_image((-2, -1, 52, 41), 40, 50) == (0, 0, 50, 40)
    for box in ((-3, 0, 9, 9), (0, 0, 53, 9), (50.5, 0, 51.5, 9)):
        with pytest.raises(ValueError, match='outside of its image of 50 x 40'):
            box_in_image(box, 40, 50)
