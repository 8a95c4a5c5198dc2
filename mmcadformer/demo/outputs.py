# SPDX-License-Identifier: Apache-2.0
"""What a visitor gets of a result: numbers, pictures, and files to download."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import mmcv
import numpy as np
from PIL import Image, ImageDraw

from ..apis import ReferringResult
from ..utils.files import write_text
from ..utils.outlines import trace_outlines
from ..utils.text import shortened
from ..visualization.attention import heat_overlay
from ..visualization.overlay import shrink, widen
from ..visualization.text import INK, PAPER, load_font
from .models import Finding, NamedModel
from .uploads import Picture

if TYPE_CHECKING:  # it needs the geo extra
    from ..scene import Georeference

# Pixels on the longer side of what is shown; files have the picture's own size.
MAX_SHOWN = 1600
# As narrow as overlays may be.
_MIN_WIDTH = 320
_TICKS = (0, 0.25, 0.5, 0.75, 1)
# The scale is what the heat map makes of a mid-grey picture.
_GREY = 128
# Of the picture's name and of the sentence in names of files.
_MAX_BYTES = 80
_COORDINATES = (
    'pixels of a picture of {width} x {height}: x to the right, y down, from its upper '
    'left corner. Not longitude and latitude: the picture has no georeference'
)


@dataclass(frozen=True)
class Files:
    """Files of a result."""

    mask: Path  # PNG of the picture's size, 255 on the object
    geojson: Path  # polygons, in EPSG:4326 if the place is known, else in pixels
    geotiff: Path | None  # the mask with the picture's coordinates, if it has any
    area: float | None  # in square metres, if the place is known


def empty_folder(folder: Path) -> Path:
    """Makes a folder, without what it held."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_files(result: ReferringResult, picture: Picture, folder: Path) -> Files:
    """Writes the files of a result into a folder that has no results yet."""
    stem = folder / f'{_plain(Path(picture.name).stem)}_{_plain(result.expression)}'
    mask = stem.with_name(f'{stem.name}_mask.png')
    mmcv.imwrite(result.mask.astype(np.uint8) * np.uint8(255), str(mask))
    geojson = stem.with_name(f'{stem.name}.geojson')
    if picture.place is None:
        _write_pixel_geojson(result, geojson)
        return Files(mask, geojson, None, None)
    geotiff = stem.with_name(f'{stem.name}_mask.tif')
    area = _write_geo_files(result, picture, picture.place, geojson, geotiff)
    return Files(mask, geojson, geotiff, area)


def _write_pixel_geojson(result: ReferringResult, file: Path) -> None:
    """Writes the parts of a mask in GeoJSON's form, which is meant for degrees."""
    height, width = result.mask.shape
    content = dict(
        type='FeatureCollection',
        coordinates_are=_COORDINATES.format(width=width, height=height),
        features=list(_features(result)),
    )
    write_text(file, json.dumps(content, ensure_ascii=False) + '\n')


def _features(result: ReferringResult) -> Iterator[dict]:
    mask = result.mask.astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    for number in range(1, count):
        left, top, width, height, pixels = boxes[number].tolist()
        window = slice(top, top + height), slice(left, left + width)
        part = labels[window] == number
        # The outline, then those of holes.
        outlines = sorted(trace_outlines(part), key=lambda ring: ring.is_hole)
        corners = [(outline.corners + (left, top)).tolist() for outline in outlines]
        rings = [[*ring, ring[0]] for ring in corners]
        yield dict(
            type='Feature',
            id=number,
            properties=dict(
                expression=result.expression,
                score=round(float(result.probability[window][part].mean()), 6),
                pixels=pixels,
            ),
            geometry=dict(type='Polygon', coordinates=rings),
        )


def _write_geo_files(
    result: ReferringResult,
    picture: Picture,
    place: Georeference,
    geojson: Path,
    raster: Path,
) -> float:
    """Writes polygons (RFC 7946) and the mask as a GeoTIFF; returns the area, m²."""
    from .. import scene
    from ..imagery import limited_cache

    mask = result.mask.astype(np.uint8)
    if picture.valid is not None:
        mask[~picture.valid] = scene.MASK_NO_DATA
    height, width = mask.shape
    wkt = place.crs.to_wkt() if place.crs else None
    strips = [(0, scene.quantise(result.probability))]
    with limited_cache():
        writer = scene.RasterWriter(height, width, wkt, place.transform)
        writer.write_mask(raster, [(0, mask)], result.expression)
        found, _ = scene.trace_objects(
            raster, result.expression, place, scene.ObjectFilter(), strips
        )
    scene.write_vectors(geojson, found, place, 'geojson', moment=0)
    return sum(item.area or 0.0 for item in found)


def _plain(text: str) -> str:
    """Text as part of a file name; file systems count bytes."""
    text = re.sub(r'[^\w-]+', '_', text).strip('_')
    return shortened(text, _MAX_BYTES).strip('_') or 'picture'


def title_html(finding: Finding, show_model: bool) -> str:
    """The sentence, and the model where there are several."""
    model = f'<span class="model">{escape(finding.model)}</span>' if show_model else ''
    return f'<h3>{escape(finding.result.expression)}{model}</h3>'


def numbers_html(finding: Finding, files: Files) -> str:
    """Score, area and time, and what the visitor should know."""
    result = finding.result
    pixels, seconds, area = int(result.mask.sum()), finding.seconds, files.area
    duration = f'{seconds:.2f} s' if seconds >= 0.995 else f'{1000 * seconds:.0f} ms'
    together = f'for {finding.sentences} sentences' if finding.sentences > 1 else ''
    if result.precision != 'float32':
        together = f'{together}, {result.precision}'.removeprefix(', ')
    facts = [
        ('score', f'{result.score:.3f}', 'mean confidence inside the mask'),
        ('area', f'{pixels:,} px', f'{pixels / result.mask.size:.1%} of the picture'),
        ('time', duration, together),
    ]
    if area is not None:
        metres = f'{area:,.1f} m²' if area < 1000 else f'{area:,.0f} m²'
        facts.insert(2, ('on the ground', metres, ''))
    remarks = []
    if result.presence is not None and not result.presence.found:
        remarks.append(
            f'Not found, {result.presence.score:.2f}: the model takes it that this is '
            f'not in the picture (found from {result.presence.threshold:.2f} on).'
        )
    elif not pixels:
        remarks.append(
            'Nothing found: no pixel is more likely on the object than beside it.'
        )
    if result.read is not None:
        remarks.append(
            f'The sentence is longer than the model can read. It read “{result.read}”; '
            'the rest was cut off.'
        )
    cells = ''.join(
        f'<div class="{name.replace(" ", "-")}"><dt>{name}</dt><dd>{value}'
        f'<small>{remark}</small></dd></div>'
        for name, value, remark in facts
    )
    notes = ''.join(message_html(remark, 'note') for remark in remarks)
    return f'<dl class="numbers">{cells}</dl>{notes}'


def message_html(text: str, kind: str) -> str:
    """A message for the visitor, whose kind is 'error' or 'note'."""
    role = 'alert' if kind == 'error' else 'status'
    return f'<p class="message {kind}" role="{role}">{escape(text)}</p>'


def notes_html(models: Sequence[NamedModel]) -> str:
    """What visitors are to know of the models; empty if there is nothing."""
    return ''.join(f'<p>{escape(model.note)}</p>' for model in models if model.note)


def shown_size(image: np.ndarray) -> np.ndarray:
    """The image, reduced if it is larger than what is shown."""
    return shrink(image, MAX_SHOWN)


def draw_pictures(result: ReferringResult) -> tuple[np.ndarray, np.ndarray]:
    """Overlay, and confidence with its scale, both RGB uint8 of one size."""
    shown = replace(
        result,
        image=shown_size(result.image),
        mask=shown_size(result.mask.astype(np.float32)) > 0.5,
        probability=shown_size(result.probability),
    )
    overlay = shown.overlay()
    heat = widen(heat_overlay(shown.image, shown.probability), _MIN_WIDTH)
    scale = _draw_scale(heat.shape[1], overlay.shape[0] - heat.shape[0])
    return overlay, np.concatenate([heat, scale])


def _draw_scale(width: int, height: int) -> np.ndarray:
    """A strip with the colours of the heat map from 0 to 1."""
    strip = Image.new('RGB', (width, height), PAPER)
    draw = ImageDraw.Draw(strip)
    font_size = int(np.clip(width / 30, 13, 40))
    labels = [f'{tick:g}' for tick in _TICKS]
    font = load_font(''.join(labels), font_size)
    pad = max(3, font_size // 3)
    bar_height = max(4, min(font_size, height - 2 * pad - round(1.3 * font_size)))
    values = np.linspace(0, 1, width - 4 * pad, dtype=np.float32)
    grey = np.full((bar_height, len(values), 3), _GREY, np.uint8)
    colors = heat_overlay(grey, values[None].repeat(bar_height, axis=0))
    strip.paste(Image.fromarray(colors), (2 * pad, pad))
    for tick, label in zip(_TICKS, labels, strict=True):
        x = 2 * pad + tick * (len(values) - font.getlength(label))
        draw.text((x, pad + bar_height), label, fill=INK, font=font)
    return np.asarray(strip)
