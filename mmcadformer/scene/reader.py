# SPDX-License-Identifier: Apache-2.0
"""Scenes: rasters that lie somewhere on the earth."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

import rasterio
from rasterio.errors import CRSError, NotGeoreferencedWarning

from .. import imagery
from ..utils.log import warn

# Written by programs that only look at a scene: statistics and reduced pictures.
_BY_VIEWERS = ('.aux.xml', '.ovr')


@dataclass(frozen=True)
class Reading(imagery.Reading):
    """How the pixels of a scene are understood, and where it lies.

    Args:
        bands, value_range, percentiles, nodata, alpha, orientation, subdataset: See
            :class:`mmcadformer.imagery.Reading`.
        crs: Coordinate system, such as 'EPSG:32614', where the file doesn't say so
            or is wrong.
    """

    crs: str | None = None


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
        super().__init__(path, reading or Reading(), driver)
        is_file = os.path.isfile(self.path)
        self.name = os.path.abspath(self.path) if is_file else self.path
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
        """Files on this machine that the pixels come from.

        Masks beside the scene and the pictures that a VRT is made of are among them.
        """
        return [
            file
            for file in sorted(self._file.files)
            if os.path.isfile(file) and not file.endswith(_BY_VIEWERS)
        ]

    def _locate(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            has_transform = not self._file.transform.is_identity
        self.transform = self._file.transform if has_transform else None
        if has_transform and self._file.transform.is_degenerate:
            raise ValueError(f'{self.path}: its geotransform gives pixels no area')
        self.crs = self._find_crs()

    def _find_crs(self) -> rasterio.crs.CRS | None:
        given = getattr(self.reading, 'crs', None)
        if given is not None:
            try:
                return rasterio.crs.CRS.from_user_input(given)
            except CRSError as error:
                raise ValueError(
                    f'crs {given!r} is unknown ({self._reason(error)}); write it like '
                    "'EPSG:32614'"
                ) from None
        if self._file.crs is None and self._file.gcps[0]:
            self.notes.append(
                'it has ground control points instead of a transform, which are not '
                'used: warp it first (gdalwarp) for map coordinates'
            )
        return self._file.crs
