# SPDX-License-Identifier: Apache-2.0
"""Scenes: rasters that lie somewhere on the earth."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import rasterio
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from .. import imagery
from ..utils.log import warn
from .geometry import Georeference
from .warping import described_by, warped

# Written by programs that only look at a scene: statistics and reduced pictures.
_BY_VIEWERS = ('.aux.xml', '.ovr')
# What GDAL puts before the file in the name of a part, as in NETCDF:FILE:VARIABLE.
_PREFIX = re.compile(r'^[A-Za-z][A-Za-z0-9_]+:')
# What Windows refuses in names, and the names that it keeps for devices.
_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')
_DEVICES = re.compile(r'(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.IGNORECASE)


@dataclass(frozen=True)
class Reading(imagery.Reading):
    """How the pixels of a scene are understood, and where it lies.

    Args:
        bands, value_range, percentiles, nodata, alpha, orientation, subdataset: See
            :class:`mmcadformer.imagery.Reading`.
        crs: Coordinate system, such as 'EPSG:32614', where the file doesn't say so
            or is wrong.
        warp: Put a scene that has control points or RPCs in place of a transform
            onto the map; otherwise its results lie in pixels.
    """

    crs: str | None = None
    warp: bool = False

    def over(self, settings: Mapping[str, Any]) -> Reading:
        """This reading, with settings where nothing was said here."""
        default = Reading()
        missing: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in settings.items()
            if getattr(self, key) == getattr(default, key)
        }
        return replace(self, **missing)


class SceneReader(imagery.Raster):
    """An open scene, used in a ``with`` statement.

    Args:
        path: Any raster that GDAL reads: GeoTIFF, COG, JPEG 2000, PNG, VRT...
        reading: How to understand its pixels.
        driver: See :class:`mmcadformer.imagery.Raster`.

    Attributes:
        name: The path, whatever the working directory.
        crs: rasterio CRS, or None.
        transform: From (column, row) to map coordinates; None if the file has none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it can't be read, or the options don't fit it.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        reading: imagery.Reading | None = None,
        driver: str | None = None,
    ) -> None:
        reading = reading or Reading()
        if reading.orientation != 'stored':
            raise ValueError(
                f'{os.fspath(path)}: scenes are read as stored, an Orientation tag '
                "moves nothing on the map: leave orientation='applied' out"
            )
        super().__init__(path, reading, driver)
        self.name = self._full_name()
        try:
            self._locate()
        except BaseException:
            self.close()
            raise
        for note in self.notes:
            warn(f'{self.path}: {note}')

    def __enter__(self) -> SceneReader:
        super().__enter__()
        return self

    def facts(self) -> dict:
        """What identifies the content, for comparison between runs."""
        facts = dict(path=self.name, height=self.height, width=self.width)
        if os.path.isfile(self.path):
            status = os.stat(self.path)
            facts.update(bytes=status.st_size, modified=status.st_mtime_ns)
        states = [(file, os.stat(file)) for file in self.files()]
        files = [(file, state.st_size, state.st_mtime_ns) for file, state in states]
        return dict(facts, files=files)

    def files(self) -> list[str]:
        """Files on this machine that the pixels and their place come from.

        Masks beside the scene and the pictures that a VRT is made of are among them.
        """
        files = {*self._stored.files, *([self._projection] if self._projection else [])}
        return [
            file
            for file in sorted(files)
            if os.path.isfile(file) and not file.endswith(_BY_VIEWERS)
        ]

    def tags(self, domain: str) -> dict[str, str]:
        """What the file says about itself, in a domain of GDAL's metadata."""
        return self._stored.tags(ns=domain)

    def place(self) -> Georeference:
        """Where the scene lies.

        Raises:
            ValueError: Its coordinate system or its transform is wrong.
        """
        try:
            return Georeference(self.crs, self.transform, self.height, self.width)
        except ValueError as error:
            raise ValueError(f'{self.path}: {error}') from None

    def stem(self) -> str:
        """What results are called after: distinct for the parts of a file.

        It has no character that a system refuses in names of files.
        """
        return result_stem(self.path, self.reading.subdataset)

    def _full_name(self) -> str:
        if not os.path.isfile(self.path):
            return self.path
        name = os.path.abspath(self.path)
        part = self.reading.subdataset
        return name if part is None else f'{name}, subdataset {part}'

    def _choose_part(self) -> None:
        super()._choose_part()
        self._stored = self._file
        self._by_points = None
        if not _has_transform(self._file):
            self._by_points = described_by(self._file)
        wanted = getattr(self.reading, 'warp', False)
        if wanted and self._by_points:
            self._file = warped(
                self._file, self._given_crs(), self.reading.alpha, self._closing
            )
            self.notes.append(f'put onto the map by its {self._by_points}')
        elif wanted and not _has_transform(self._file):
            raise ValueError(
                f'{self.path} has neither control points nor RPCs to warp it by: leave '
                '--warp out'
            )

    def _stream(self) -> BinaryIO | None:
        # Stored pixels are not where the warped ones are.
        return None if self._is_warped else super()._stream()

    @property
    def _is_warped(self) -> bool:
        return self._file is not self._stored

    def _locate(self) -> None:
        tag = self._stored.tags().get('EXIF_Orientation', '1')
        if tag != '1':
            self.notes.append(
                f'its Orientation tag (EXIF) is {tag}: viewers turn it, here pixels '
                'are taken as stored'
            )
        self._projection: str | None = None
        self.transform = self._file.transform if _has_transform(self._file) else None
        if self._by_points and not self._is_warped:
            self.notes.append(
                f'its place is told by {self._by_points}: results lie in pixels, not '
                'on the map (tools/infer_scene.py --warp puts them there)'
            )
        self.crs = self._file.crs if self._is_warped else self._find_crs()

    def _given_crs(self) -> rasterio.crs.CRS | None:
        given = getattr(self.reading, 'crs', None)
        if given is None:
            return None
        try:
            return rasterio.crs.CRS.from_user_input(given)
        except CRSError as error:
            raise ValueError(
                f'crs {given!r} is unknown ({self._reason(error)}); write it like '
                "'EPSG:32614'"
            ) from None

    def _find_crs(self) -> rasterio.crs.CRS | None:
        given = self._given_crs()
        if given is not None or self._file.crs is not None or self.transform is None:
            return given or self._file.crs
        return None if self._driver else self._read_projection()

    def _read_projection(self) -> rasterio.crs.CRS | None:
        """The system in SCENE.prj, the neighbour of a world file (SCENE.pgw)."""
        for suffix in ('.prj', '.PRJ'):
            file = Path(self.path).with_suffix(suffix)
            if file.is_file():
                break
        else:
            return None
        try:
            text = file.read_text(encoding='utf-8', errors='replace')
            crs = rasterio.crs.CRS.from_wkt(text, morph_from_esri_dialect=True)
        except (OSError, RasterioError, CRSError) as error:
            raise ValueError(
                f'{file} is not a coordinate system as WKT ({self._reason(error)}); '
                "move it away, or name the system (--crs, like 'EPSG:32614')"
            ) from None
        self._projection = str(file)
        self.notes.append(f'coordinate system from {file.name}')
        return crs


def result_stem(path: str, subdataset: int | None = None) -> str:
    """What results of a scene, or of a part of it, are called after."""
    stem, part = _split_name(path)
    if subdataset is not None and not part:
        part = str(subdataset)
    return safe_name(f'{stem}_{part}' if part else stem)


def safe_name(text: str) -> str:
    """A text without characters that a system refuses in names of files."""
    name = _REFUSED.sub('_', text).strip('_. ')
    return f'{name}_' if _DEVICES.fullmatch(name) else name or 'scene'


def _has_transform(file: rasterio.DatasetReader) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        return not file.transform.is_identity


def _split_name(path: str) -> tuple[str, str]:
    """Stem of the file, and which part of it ``path`` names, if any.

    GDAL's names of parts are such as ``GTIFF_DIR:2:FILE`` and
    ``NETCDF:"FILE":VARIABLE``.
    """
    if os.path.exists(path) or '://' in path or not _PREFIX.match(path):
        return Path(path).stem, ''
    pieces = re.findall(r'"[^"]*"|[^:]+', path)[1:]
    pieces = [piece.strip('"') for piece in pieces]
    files = [piece for piece in pieces if os.path.exists(piece)]
    files += [piece for piece in pieces if Path(piece).suffix] or pieces[:1]
    rest = [piece.strip('/') for piece in pieces if piece != files[0]]
    return Path(files[0]).stem, '_'.join(rest)
