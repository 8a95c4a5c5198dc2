# SPDX-License-Identifier: Apache-2.0
"""From finished rows to rasters, polygons and a summary."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from mmengine.logging import print_log

from .geometry import Georeference
from .objects import FoundObject, ObjectFilter, trace_objects
from .outputs import Outputs
from .pixel_labels import PixelOutlines
from .rasters import ENCODINGS, RasterWriter, mask_strip
from .reader import limited_cache
from .run import SceneRun
from .vectors import FORMATS, write_vectors


@dataclass(frozen=True)
class Writing:
    """What is written.

    Args:
        threshold: Probability above which a pixel belongs to the object.
        probability: How probabilities are stored: 'uint8' (254 is 1), 'uint16'
            (65534 is 1), 'float32', or None to leave the raster out. The scale is
            in the file.
        formats: Any of 'geojson', 'gpkg', 'shp'. By default GeoJSON and GeoPackage;
            GeoJSON needs to know where on the earth the scene lies.
        objects: Which objects are kept.

    Raises:
        ValueError: If an option is unknown or out of range.
    """

    threshold: float = 0.5
    probability: str | None = 'uint8'
    formats: tuple[str, ...] | None = None
    objects: ObjectFilter = ObjectFilter()

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise ValueError(f'threshold {self.threshold} is out of range: 0...1')
        if self.probability is not None and self.probability not in ENCODINGS:
            raise ValueError(
                f'probability {self.probability!r} is unknown: use one of '
                f'{list(ENCODINGS)} or None'
            )
        for name in self.formats or ():
            if name not in FORMATS:
                raise ValueError(
                    f'format {name!r} is unknown: use any of {list(FORMATS)}'
                )


@dataclass
class SceneResult:
    """What a run found and wrote.

    Attributes:
        objects: From top to bottom, one expression after the other.
        files: All that was written, the summary last.
        summary: Content of the summary: per expression files, number of objects,
            area, and how many tiles the presence gate left.
    """

    objects: list[FoundObject]
    files: list[Path]
    summary: dict


class ResultWriter:
    """Writes what a run has found.

    Args:
        run: The run; it may still have to look.
        place: Where the scene lies.
        writing: What to write.
        outputs: Where to.

    Raises:
        ValueError: If GeoJSON is asked for and the place isn't known.
    """

    def __init__(
        self,
        run: SceneRun,
        place: Georeference,
        writing: Writing,
        outputs: Outputs,
    ) -> None:
        self.run, self.place, self.writing = run, place, writing
        self.out_dir, self.stem = outputs.folder, outputs.stem
        self._outputs = outputs
        self.formats = choose_formats(writing.formats, place, run.reader.path)
        reader = run.reader
        self._rasters = RasterWriter(
            reader.height, reader.width, reader.crs, reader.transform
        )

    def write(self) -> SceneResult:
        """Turns the workspace into results and removes it.

        Files are moved to their place when all of them are complete. Those of an
        earlier run that have no successor stay, and are named in the log.
        """
        folder = self.run.work.results()
        objects, records = [], []
        with limited_cache():
            for number in range(len(self.run.expressions)):
                found, record = self._write_expression(folder, number)
                objects += found
                records.append(record)
        if not any(record['tiles'] for record in records):
            _warn(
                f'nothing was looked at: {self.run.reader.path} has no valid pixels, '
                'or none in the area of interest; all are nodata, masked, transparent '
                'or NaN'
            )
        summary = self._summary(records, self._write_vectors(folder, objects))
        last = self._outputs.summary.name
        text = json.dumps(summary, indent=2, ensure_ascii=False)
        (folder / last).write_text(text + '\n', encoding='utf-8')
        names = sorted(file.name for file in folder.iterdir() if file.name != last)
        files = [self.out_dir / name for name in [*names, last]]
        self._name_earlier(names)
        for file in files:
            os.replace(folder / file.name, file)
        self.run.work.remove()
        return SceneResult(objects, files, summary)

    def _name_earlier(self, names: Sequence[str]) -> None:
        earlier = [name for name in self._outputs.files() if name not in names]
        if earlier:
            _warn(
                f'in {self.out_dir} are files of an earlier run on this scene, too: '
                f'{", ".join(earlier)}'
            )

    def _write_expression(
        self, folder: Path, number: int
    ) -> tuple[list[FoundObject], dict]:
        expression = self.run.expressions[number]
        name = f'{self.stem}_{number + 1:02d}'
        record = dict(expression=expression, mask=f'{name}_mask.tif')
        if self.writing.probability is not None:
            record['probability'] = f'{name}_probability.tif'
            self._rasters.write_probability(
                folder / record['probability'],
                self.run.rows(number),
                expression,
                self.writing.probability,
            )
        file = folder / record['mask']
        self._rasters.write_mask(file, self._masks(number), expression)
        found, small = trace_objects(
            file, expression, self.place, self.writing.objects, self.run.rows(number)
        )
        if small:  # the mask shows what the polygons show
            file.unlink()
            self._rasters.write_mask(file, self._masks(number, small), expression)
        record.update(self._numbers(found, small), **self.run.tile_numbers(number))
        return found, record

    def _masks(
        self, number: int, without: Sequence[shapely.Polygon] = ()
    ) -> Iterator[tuple[int, np.ndarray]]:
        small = PixelOutlines(without)
        for row, values in self.run.rows(number):
            mask = mask_strip(values, self.writing.threshold)
            mask[small.labels(row, mask.shape) > 0] = 0
            yield row, mask

    def _numbers(
        self, found: Sequence[FoundObject], small: Sequence[shapely.Polygon]
    ) -> dict:
        area = None
        if self.place.on_earth:
            area = round(sum(item.area for item in found), 2)
        return dict(
            objects=len(found),
            objects_too_small=len(small),
            area_m2=area,
            pixels=sum(item.pixels for item in found),
        )

    def _write_vectors(self, folder: Path, objects: Sequence[FoundObject]) -> list[str]:
        names = []
        # When the scene was made, for formats that want a date: equal results are
        # equal files.
        moment = self.run.reader.facts().get('modified', 0) / 1e9
        for form in self.formats:
            file = folder / f'{self.stem}{FORMATS[form][1]}'
            write_vectors(file, objects, self.place, form, moment)
            names.append(file.name)
        return names

    def _summary(self, records: list[dict], polygons: list[str]) -> dict:
        reader, tiling = self.run.reader, self.run.tiling
        return dict(
            scene=reader.name,
            height=reader.height,
            width=reader.width,
            crs=None if reader.crs is None else reader.crs.to_string(),
            polygons=polygons,
            expressions=records,
            threshold=self.writing.threshold,
            presence=self.run.presence,
            tile_sizes=list(tiling.sizes),
            overlap=tiling.overlap,
        )


def choose_formats(
    formats: Sequence[str] | None, place: Georeference, scene: str
) -> list[str]:
    """The vector formats to write.

    Args:
        formats: Those asked for, or None.
        place: Where the scene lies.
        scene: Its name, for messages.

    Raises:
        ValueError: If GeoJSON is asked for and the place isn't known.
    """
    if formats is not None and ('geojson' not in formats or place.on_earth):
        return list(dict.fromkeys(formats))
    if place.on_earth:
        return ['geojson', 'gpkg']
    reason = (
        f'{scene} does not say where on the earth it lies, which GeoJSON is about; '
        "name its coordinate system (crs='EPSG:...') if it has a geotransform"
    )
    if formats is not None:
        raise ValueError(f'{reason}, or leave the format geojson out')
    _warn(f'{reason}. The GeoPackage has the coordinates of the scene')
    return ['gpkg']


def _warn(message: str) -> None:
    print_log(message, logger='current', level=30)
