# SPDX-License-Identifier: Apache-2.0
"""The files that a visitor can download."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np

from ..apis import ReferringResult
from .geo import write_geo_files
from .outlines import write_pixel_geojson
from .uploads import Picture

# Of the picture's name and of the sentence in names of files.
_MAX_BYTES = 80


@dataclass(frozen=True)
class Files:
    """Files of a result.

    Attributes:
        mask: PNG of the picture's size, 255 on the object.
        geojson: Polygons, in EPSG:4326 if the place is known, else in pixels.
        geotiff: The mask with the picture's coordinates, if it has any.
        area: In square metres, if the place is known.
    """

    mask: Path
    geojson: Path
    geotiff: Path | None
    area: float | None


def empty_folder(folder: Path) -> Path:
    """Makes a folder, without what it held."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_files(result: ReferringResult, picture: Picture, folder: Path) -> Files:
    """Writes the files of a result.

    Args:
        result: What was found.
        picture: Where it was found.
        folder: An existing folder that has no results yet.
    """
    stem = folder / f'{_plain(Path(picture.name).stem)}_{_plain(result.expression)}'
    mask = stem.with_name(f'{stem.name}_mask.png')
    mmcv.imwrite(result.mask.astype(np.uint8) * np.uint8(255), str(mask))
    geojson = stem.with_name(f'{stem.name}.geojson')
    if picture.place is None:
        write_pixel_geojson(result, geojson)
        return Files(mask, geojson, None, None)
    geotiff = stem.with_name(f'{stem.name}_mask.tif')
    area = write_geo_files(result, picture, geojson, geotiff)
    return Files(mask, geojson, geotiff, area)


def _plain(text: str) -> str:
    """Text as part of a file name; file systems count bytes."""
    text = re.sub(r'[^\w-]+', '_', text).strip('_')
    return text.encode()[:_MAX_BYTES].decode(errors='ignore').strip('_') or 'picture'
