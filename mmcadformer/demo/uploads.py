# SPDX-License-Identifier: Apache-2.0
"""What visitors may send: pictures and sentences, within limits."""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rasterio.errors import RasterioError

from .. import imagery
from ..utils.text import visible_text

if TYPE_CHECKING:  # they need the geo extra
    from ..scene import Georeference, SceneReader

# What a picture of the largest size takes with three bands of 32 bits.
_BYTES_PER_PIXEL, _LEAST_BLOCK = 12, 2**24

# GDAL's drivers of pictures that may lie somewhere on the earth.
_WITH_PLACE = ('GTiff', 'JP2OpenJPEG')
INSTALL_GEO = "install the geo extra: pip install -e '.[geo]'"
_NAMELESS = ('unknown', 'unnamed')


@dataclass(frozen=True)
class Limits:
    """Limits of what visitors may send, all positive."""

    max_pixels: int = 16_000_000  # of a picture
    max_upload_mb: float = 100.0  # of 2**20 bytes
    max_bands: int = 256  # of a raster
    max_characters: int = 300  # of a sentence
    queue: int = 16  # jobs that may wait; one runs at a time
    keep_minutes: float = 120.0  # age at which uploads and results are deleted
    max_files: int = 50  # uploads kept per visitor
    max_disk_mb: float = 4096.0  # of all uploads and results

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                option = '--' + name.replace('_', '-')
                raise ValueError(f'{option} must be more than 0, not {value}')
        if self.max_disk_mb < 2 * self.max_upload_mb:
            raise ValueError(
                f'--max-disk-mb must be at least twice --max-upload-mb, which is '
                f'{self.max_upload_mb:g}, not {self.max_disk_mb:g}'
            )

    @property
    def max_bytes(self) -> int:
        """The largest file in bytes."""
        return int(self.max_upload_mb * 2**20)

    @property
    def max_disk(self) -> int:
        """Bytes of all files together."""
        return int(self.max_disk_mb * 2**20)

    def check_pixels(self, name: str, height: int, width: int) -> None:
        """Raises ValueError for a picture that is too large."""
        if height * width > self.max_pixels:
            raise self.too_many_pixels(name, f': {width} × {height} px')

    def too_many_pixels(self, name: str, size: str = '') -> ValueError:
        """The error that says so, and what else can be done."""
        return ValueError(
            f'{name} is too large for this page{size}, the limit is '
            f'{self.max_pixels / 1e6:g} million pixels. Cut out a part, or run '
            'tools/infer_scene.py, which takes scenes of any size'
        )

    def check_bands(self, name: str, count: int) -> None:
        """Raises ValueError for a raster of too many bands."""
        if count > self.max_bands:
            raise ValueError(
                f'{name} has {count} bands, the limit of this page is '
                f'{self.max_bands}: store those that are needed (gdal_translate -b 1 '
                '-b 2 -b 3)'
            )

    def check_block(self, name: str, size: int) -> None:
        """Raises ValueError for a raster of blocks that are too large when decoded."""
        limit = max(_LEAST_BLOCK, _BYTES_PER_PIXEL * self.max_pixels)
        if size > limit:
            raise ValueError(
                f'{name} has blocks of {size / 2**20:.0f} MB when decoded, the limit '
                f'is {limit / 2**20:.0f} MB. Store it in tiles, or with fewer bands '
                '(gdal_translate -co TILED=YES -b 1 -b 2 -b 3)'
            )

    def check_bytes(self, name: str, size: int) -> None:
        """Raises ValueError for a file that is empty or too large."""
        if not size:
            raise ValueError(f'{name} is empty')
        if size > self.max_bytes:
            raise ValueError(
                f'{name} is too large for this page: {size / 2**20:.1f} MB, the limit '
                f'is {self.max_upload_mb:g} MB. Run tools/infer_scene.py, which takes '
                'scenes of any size'
            )


@dataclass(frozen=True)
class Picture:
    """A picture that was read."""

    rgb: np.ndarray  # uint8 (H, W, 3)
    name: str  # of the file
    valid: np.ndarray | None = None  # bool (H, W), False where there is no data
    place: Georeference | None = None  # where on the earth it lies, if that is known
    notes: tuple[str, ...] = ()  # what the visitor should know about the reading

    def describe(self) -> str:
        """Name, size and notes, as one line."""
        height, width = self.rgb.shape[:2]
        parts = [self.name, f'{width} × {height} px', *self.notes]
        if self.valid is not None:
            parts.append(f'{1 - self.valid.mean():.0%} without data')
        return ' · '.join(parts)


def read_picture(path: Path, limits: Limits) -> Picture:
    """Reads a picture whole, or says why not.

    8-bit pictures are read as training reads them, everything else as
    ``tools/infer_scene.py`` does: TIFF and JPEG 2000 with their coordinates, more
    than 8 bits stretched between the 2nd and the 98th percentile.

    Raises:
        FileNotFoundError: It is gone.
        ValueError: It is not a picture, damaged, too large, or needs the geo extra.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path.name} is no longer here: files are deleted after '
            f'{limits.keep_minutes:g} minutes. Upload it again'
        )
    limits.check_bytes(path.name, path.stat().st_size)
    try:
        return _read(path, limits)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), path.name)) from error


def _read(path: Path, limits: Limits) -> Picture:
    data = path.read_bytes()
    header = imagery.read_header(data)
    if header.size is not None:
        limits.check_pixels(path.name, *header.size)
    if header.driver in _WITH_PLACE and has_geo():
        return _read_scene(path, header.driver, limits)
    picture = imagery.read_picture(data, name=path.name, max_pixels=limits.max_pixels)
    notes = picture.notes
    if header.driver in _WITH_PLACE:
        said = f'coordinates, if there are any, were not read ({INSTALL_GEO})'
        notes = (*notes, said)
    return Picture(
        np.ascontiguousarray(picture.rgb), path.name, picture.valid, notes=notes
    )


def has_geo() -> bool:
    """Whether the packages are there that tell where a picture lies."""
    return all(map(importlib.util.find_spec, ('shapely', 'pyogrio', 'pyproj')))


def _read_scene(path: Path, driver: str, limits: Limits) -> Picture:
    """Reads a GeoTIFF or a JPEG 2000, as a scene is read."""
    from ..scene import SceneReader

    # Before a pixel is decoded; what can't be opened is explained by the reader.
    with suppress(RasterioError), imagery.open_raster(path, driver=driver) as file:
        limits.check_pixels(path.name, file.height, file.width)
        limits.check_bands(path.name, file.count)
        limits.check_block(path.name, imagery.block_bytes(file) if file.count else 0)
    with SceneReader(path, driver=driver) as reader:
        rgb, valid = reader.read(0, 0, reader.height, reader.width, imagery.FILL)
        place, notes = _find_place(reader)
    notes = (*reader.notes, *notes)
    return Picture(rgb, path.name, None if valid.all() else valid, place, notes)


def _find_place(reader: SceneReader) -> tuple[Georeference | None, tuple[str, ...]]:
    """Where a scene lies, or None, and what to say about it."""
    from ..scene import Georeference

    try:
        place = Georeference(reader.crs, reader.transform, reader.height, reader.width)
    except ValueError as error:
        return None, (str(error),)
    if place.crs is None or not place.on_earth:
        return None, ()
    name = place.crs.name
    if name in _NAMELESS and place.crs.coordinate_operation is not None:
        name = place.crs.coordinate_operation.method_name
    return place, (f'georeferenced: {name}',)


def check_sentences(first: str | None, second: str | None, limits: Limits) -> list[str]:
    """The one or two sentences to look for, without spaces around them."""
    sentences = [visible_text(text) for text in (first, second)]
    if not sentences[0]:
        raise ValueError(
            'Type a sentence that names one object in the picture, such as '
            '“the large storage tank on the left”'
        )
    for sentence in sentences:
        if len(sentence) > limits.max_characters:
            raise ValueError(
                f'The sentence “{sentence[:30]}…” is too long: {len(sentence)} '
                f'characters, the limit is {limits.max_characters}'
            )
    # The same sentence twice would be one result.
    return list(dict.fromkeys(filter(None, sentences)))
