# SPDX-License-Identifier: Apache-2.0
"""How a GIS draws the results: one colour per expression."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

# Told apart by most people with colour blindness (Okabe and Ito), on photographs.
_COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
_GREY = (128, 128, 128)
_OPACITY, _WIDTH = 80, '0.5'
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def color_of(number: int) -> tuple[int, int, int]:
    """The colour of an expression: red, green, blue."""
    return _COLORS[number % len(_COLORS)]


def qml_style(expressions: Sequence[str]) -> str:
    """A style for QGIS: polygons by expression, the ground seen through them.

    Args:
        expressions: In their order; others are grey.
    """
    root = Element('qgis', version='3.22', styleCategories='Symbology')
    kinds = dict(type='categorizedSymbol', attr='expression', symbollevels='0')
    renderer = SubElement(
        root, 'renderer-v2', kinds, enableorderby='0', forceraster='0'
    )
    categories = SubElement(renderer, 'categories')
    symbols = SubElement(renderer, 'symbols')
    names = list(dict.fromkeys(expressions))
    # The empty value stands for all others.
    for number, name in enumerate([*names, '']):
        about = dict(symbol=str(number), render='true', type='string')
        SubElement(categories, 'category', about, value=name, label=name or 'other')
        color = color_of(number) if name else _GREY
        symbols.append(_symbol(number, color))
    return _DOCTYPE + ElementTree.tostring(root, encoding='unicode') + '\n'


def _symbol(number: int, color: tuple[int, int, int]) -> Element:
    symbol = Element(
        'symbol', name=str(number), type='fill', alpha='1', clip_to_extent='1',
        force_rhr='0',
    )  # fmt: skip
    layer = SubElement(
        symbol, 'layer', {'class': 'SimpleFill', 'enabled': '1', 'locked': '0'}
    )
    layer.set('pass', '0')
    text = ','.join(map(str, color))
    options = dict(
        color=f'{text},{_OPACITY}', outline_color=f'{text},255', style='solid',
        outline_style='solid', outline_width=_WIDTH, outline_width_unit='MM',
    )  # fmt: skip
    group = SubElement(layer, 'Option', type='Map')
    for key, value in options.items():
        SubElement(group, 'Option', name=key, value=value, type='QString')
    # So QGIS reads it before version 3.26.
    for key, value in options.items():
        SubElement(layer, 'prop', k=key, v=value)
    return symbol
