# SPDX-License-Identifier: Apache-2.0
"""Pascal VOC style XML with a description per object: RSVG-HR, DIOR-RSVG."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ...utils.plain_data import shorten
from ...utils.text import check_choice
from .boxes import BadEntries, Box, BoxItem

SPLIT_UNITS = ('object', 'image')
_CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
Key = int | str
_IMAGE_ENDINGS = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')


def load_voc_boxes(
    annotations: Path,
    images: Path,
    split_dir: Path | None = None,
    split_unit: str = 'object',
    one_based: bool = False,
    bad: BadEntries | None = None,
) -> list[BoxItem]:
    """Reads boxes from one XML file per image, in the folder or those in it.

    .. code-block:: xml

        <annotation>
          <filename>00001.jpg</filename>
          <object>
            <name>storage tank</name>
            <bndbox><xmin>10</xmin><ymin>20</ymin><xmax>90</xmax>...</bndbox>
            <description>the storage tank on the left</description>
          </object>
        </annotation>

    An object may have several descriptions. Items are called ``<XML file>#<number of
    the object in it>``. Entries that can't be used go to ``bad``.

    Args:
        split_dir: Folder of ``train.txt``, ``val.txt`` and ``test.txt``.
        split_unit: What a line of these means: 'object', as in DIOR-RSVG, is
            the position (from 0) of an object among all objects of all XML
            files in the order of their names; 'image' is the name of an image,
            with or without its ending.
        one_based: Whether the first pixel has the coordinate 1 and ``xmax``,
            ``ymax`` are the last pixels, as in Pascal VOC itself.

    Raises:
        FileNotFoundError: A folder is missing, or there is no XML in it.
    """
    bad = bad or BadEntries()
    splits = _read_splits(split_dir, split_unit)
    paths = sorted(Path(annotations).rglob('*.xml'))
    if not paths:
        raise FileNotFoundError(f'no XML file found in {annotations}')
    items, number = [], 0
    for path in paths:
        objects: list[Element] = []
        image = ''
        with bad.around(str(path)):
            objects, image = _read_annotation(path, Path(images))
        name = path.relative_to(annotations).with_suffix('').as_posix()
        for index, element in enumerate(objects):
            key = number if split_unit == 'object' else Path(image).stem
            number += 1
            if splits is not None and key not in splits:
                continue
            with bad.around(f'{path}: object {index}'):
                texts = tuple(e.text or '' for e in element.findall('description'))
                if not texts:
                    raise ValueError('it has no <description>')
                items.append(
                    BoxItem(
                        item_id=f'{name}#{index}',
                        image=image,
                        box=_box(element, one_based),
                        category=_text(element, 'name'),
                        expressions=texts,
                        split=splits[key] if splits is not None else None,
                    )
                )
    return items


def _read_annotation(path: Path, images: Path) -> tuple[list[Element], str]:
    """Object elements of a file, and the image they belong to."""
    root = parse_annotation(path.read_bytes())
    return root.findall('object'), _find_image(root, path, images)


def parse_annotation(data: bytes) -> Element:
    """The root of an XML file; ValueError where it isn't one, or a dangerous one."""
    # Entities have no use in annotations, but can blow up a parser.
    if b'<!ENTITY' in data:
        raise ValueError('the XML declares entities, which annotations never need')
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise ValueError(f'not valid XML ({error})') from None


def _find_image(root: Element, path: Path, images: Path) -> str:
    named = (root.findtext('filename') or '').strip()
    if named and (images / named).is_file():
        return Path(named).as_posix()
    for ending in _IMAGE_ENDINGS:
        for candidate in (path.stem + ending, path.stem + ending.upper()):
            if (images / candidate).is_file():
                return candidate
    raise ValueError(f'its image {named or path.stem} is not in {images}')


def _box(element: Element, one_based: bool) -> Box:
    corners = element.find('bndbox')
    if corners is None:
        raise ValueError('it has no <bndbox>')
    try:
        left, top, right, bottom = (float(_text(corners, key)) for key in _CORNERS)
    except ValueError as error:
        raise ValueError(f'<bndbox> is damaged ({error})') from None
    return (left - one_based, top - one_based, right, bottom)


def _text(element: Element, tag: str) -> str:
    text = (element.findtext(tag) or '').strip()
    if not text:
        raise ValueError(f'it has no <{tag}>')
    return text


def _read_splits(folder: Path | None, unit: str) -> dict[Key, str] | None:
    """Split by object number or image stem; None if there is no folder."""
    check_choice('split_unit', unit, SPLIT_UNITS)
    if folder is None:
        return None
    paths = [Path(folder) / f'{split}.txt' for split in ('train', 'val', 'test')]
    if not any(path.is_file() for path in paths):
        raise FileNotFoundError(f'none of train.txt, val.txt, test.txt is in {folder}')
    splits: dict[Key, str] = {}
    for path in paths:
        if not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding='utf-8').split(), 1):
            key = _line_key(line, unit, f'{path}, entry {number}')
            if splits.setdefault(key, path.stem) != path.stem:
                raise ValueError(f'{path}: {line} is in {splits[key]}.txt too')
    return splits


def _line_key(line: str, unit: str, where: str) -> Key:
    if unit == 'image':
        known = line.lower().endswith(_IMAGE_ENDINGS)
        return Path(line).stem if known else Path(line).name
    try:
        return int(line)
    except ValueError:
        raise ValueError(
            f'{where}: {shorten(line)} is not the number of an object; if the lines '
            f'name '
            "images, use the split unit 'image'"
        ) from None
