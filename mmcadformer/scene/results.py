# SPDX-License-Identifier: Apache-2.0
"""From finished rows to rasters, polygons and a summary.

Results may replace those of the same scene, and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from ..imagery import limited_cache
from ..utils.files import read_json
from ..utils.log import warn
from .geometry import Georeference
from .objects import FoundObject, ObjectFilter, PixelOutlines, trace_objects
from .parquet import check_parquet
from .provenance import how_read, provenance, raster_tags
from .rasters import ENCODINGS, RasterWriter, mask_strip
from .run import SceneRun
from .stac import stac_item
from .styles import qml_style
from .vectors import FORMATS, add_style, write_vectors


@dataclass(frozen=True)
class Writing:
    """What is written."""

    # Probability above which a pixel belongs to the object.
    threshold: float = 0.5
    # How probabilities are stored: 'uint8' (254 is 1), 'uint16' (65534 is 1),
    # 'float32', or None to leave the raster out. The scale is in the file.
    probability: str | None = 'uint8'
    # Any of 'geojson', 'gpkg', 'shp', 'parquet'. By default GeoJSON and GeoPackage;
    # GeoJSON needs to know where on the earth the scene lies.
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
            if name == 'parquet':
                check_parquet()


@dataclass
class SceneResult:
    """What a run found and wrote."""

    objects: list[FoundObject]  # from top to bottom, one expression after the other
    files: list[Path]  # all that was written, the summary last
    # Per expression files, number of objects, area, and how many tiles the presence
    # gate left.
    summary: dict
    # Whether all this is of an earlier run with the same arguments, whose files were
    # left as they are. Its objects are in these only.
    kept: bool = False


@dataclass(frozen=True)
class Outputs:
    """The files of a run: folder, start of their names, formats of the polygons."""

    folder: Path
    stem: str
    formats: Sequence[str]

    @property
    def summary(self) -> Path:
        """Written last."""
        return self.folder / f'{self.stem}.json'

    @property
    def work(self) -> Path:
        """Folder of an unfinished run."""
        return self.folder / f'{self.stem}.work'

    @property
    def style(self) -> Path:
        """How QGIS draws the polygons; it looks for a file of this name."""
        return self.folder / f'{self.stem}.qml'

    @property
    def item(self) -> Path:
        """The STAC item."""
        return self.folder / f'{self.stem}_stac.json'

    def vectors(self) -> dict[str, str]:
        """Names of the files of polygons, by format."""
        return {form: f'{self.stem}{FORMATS[form][1]}' for form in self.formats}

    def check(self, scene: str, inputs: Iterable[str | os.PathLike]) -> None:
        """Raises a ValueError for files that a run on the scene would destroy."""
        files = [self.summary, *map(self.folder.joinpath, self.vectors().values())]
        files += [self.style, self.item]
        files = [file for file in files if file.exists()]
        for file in files:
            for source in map(Path, inputs):
                if source.exists() and file.samefile(source):
                    raise ValueError(
                        f'{file} is read by this run and would be replaced by its '
                        'results: choose another output folder'
                    )
        earlier = self._read_summary().get('scene')
        if files and not self.work.exists() and earlier != scene:
            raise ValueError(
                f'{files[0]} would be replaced, and comes from something else than an '
                f'earlier run on {scene}: choose another output folder'
            )

    def earlier_files(self) -> list[str]:
        """Names of the files that an earlier summary lists, and that are there."""
        names = _listed_files(self._read_summary())
        return [name for name in names if (self.folder / name).is_file()]

    def finished(self, fingerprint: str) -> SceneResult | None:
        """What a run with the same arguments has left, if all of it is there."""
        summary = self._read_summary()
        names = _listed_files(summary)
        if (
            summary.get('run') != fingerprint
            or self.work.exists()
            or len(names) != len(self.earlier_files())
        ):
            return None
        files = [*map(self.folder.joinpath, sorted(names)), self.summary]
        return SceneResult([], files, summary, kept=True)

    def _read_summary(self) -> dict:
        """Empty if there is none, or it is something else."""
        try:
            summary = read_json(self.summary)
        except (OSError, ValueError):
            return {}
        return summary if isinstance(summary, dict) else {}


@dataclass
class ResultWriter:
    """Writes what a finished run has found in a scene that lies in a place."""

    run: SceneRun
    place: Georeference
    writing: Writing
    outputs: Outputs
    origin: dict

    def __post_init__(self) -> None:
        scene, files = self.run.reader, self.run.files
        self._facts = provenance(scene, self.origin, files.network, files.started)
        tags = raster_tags(self._facts, os.path.basename(scene.name))
        self._rasters = RasterWriter(
            scene.height, scene.width, scene.crs, scene.transform, tags
        )

    def write(self, fingerprint: str) -> SceneResult:
        """Turns the files of the run into results and removes them.

        Results are moved to their place when all of them are complete. Those of an
        earlier run that have no successor stay, and are named in the log.

        Args:
            fingerprint: Of all that they depend on, to be noted in the summary.
        """
        folder = self.run.files.results()
        objects, records = [], []
        with limited_cache():
            for number in range(len(self.run.expressions)):
                found, record = self._write_expression(folder, number)
                objects += found
                records.append(record)
        if not any(record['tiles'] for record in records):
            warn(
                f'nothing was looked at: {self.run.reader.path} has no valid pixels, '
                'or none in the area of interest; all are nodata, masked, transparent '
                'or NaN'
            )
        self._write_vectors(folder, objects)
        style = qml_style(self.run.expressions)
        (folder / self.outputs.style.name).write_text(style, encoding='utf-8')
        summary = dict(self._summary(records), run=fingerprint)
        last = self.outputs.summary.name
        names = sorted(file.name for file in folder.iterdir())
        item = stac_item(
            self.outputs.stem, self.run.reader, self.place, self._facts, [*names, last]
        )
        _write_json(folder / self.outputs.item.name, item)
        _write_json(folder / last, summary)
        names = sorted(file.name for file in folder.iterdir() if file.name != last)
        earlier = [name for name in self.outputs.earlier_files() if name not in names]
        if earlier:
            warn(
                f'in {self.outputs.folder} are files of an earlier run on this scene, '
                f'too: {", ".join(earlier)}'
            )
        files = [self.outputs.folder / name for name in [*names, last]]
        for file in files:
            os.replace(folder / file.name, file)
        self.run.files.remove()
        return SceneResult(objects, files, summary)

    def _write_expression(
        self, folder: Path, number: int
    ) -> tuple[list[FoundObject], dict]:
        """Rasters and objects of an expression, and its part of the summary."""
        expression = self.run.expressions[number]
        name = f'{self.outputs.stem}_{number + 1:02d}'
        record = dict(expression=expression, mask=f'{name}_mask.tif')
        encoding = self.writing.probability
        if encoding is not None:
            record['probability'] = f'{name}_probability.tif'
            file = folder / record['probability']
            rows = self.run.rows(number)
            self._rasters.write_probability(file, rows, expression, encoding)
        file = folder / record['mask']
        self._rasters.write_mask(file, self._masks(number), expression, number)
        found, small = trace_objects(
            file, expression, self.place, self.writing.objects, self.run.rows(number)
        )
        if small:  # the mask shows what the polygons show
            file.unlink()
            masks = self._masks(number, small)
            self._rasters.write_mask(file, masks, expression, number)
        areas = [item.area for item in found if item.area is not None]
        numbers = dict(
            objects=len(found),
            objects_too_small=len(small),
            area_m2=round(sum(areas), 2) if self.place.on_earth else None,
            pixels=sum(item.pixels for item in found),
        )
        return found, dict(record, **numbers, **self.run.tile_numbers(number))

    def _masks(
        self, number: int, without: Sequence[shapely.Polygon] = ()
    ) -> Iterator[tuple[int, np.ndarray]]:
        small = PixelOutlines(without)
        for row, values in self.run.rows(number):
            mask = mask_strip(values, self.writing.threshold)
            mask[small.labels(row, mask.shape) > 0] = 0
            yield row, mask

    def _write_vectors(self, folder: Path, objects: Sequence[FoundObject]) -> None:
        # When the scene was made, for formats that want a date: equal results are
        # equal files.
        moment = self.run.reader.facts().get('modified', 0) / 1e9
        for form, name in self.outputs.vectors().items():
            write_vectors(folder / name, objects, self.place, form, moment)
            if form == 'gpkg':
                style = qml_style(self.run.expressions)
                add_style(folder / name, style, moment)

    def _summary(self, records: list[dict]) -> dict:
        reader, tiling = self.run.reader, self.run.tiling
        return dict(
            scene=reader.name,
            height=reader.height,
            width=reader.width,
            crs=None if reader.crs is None else reader.crs.to_string(),
            polygons=list(self.outputs.vectors().values()),
            about=[self.outputs.style.name, self.outputs.item.name],
            expressions=records,
            threshold=self.writing.threshold,
            presence=self.run.presence,
            tile_sizes=list(tiling.sizes),
            overlap=tiling.overlap,
            read=how_read(reader),
            provenance=self._facts,
        )


def _listed_files(summary: dict) -> list[str]:
    names = [*summary.get('polygons', []), *summary.get('about', [])]
    for record in summary.get('expressions', []):
        names += [record[key] for key in ('mask', 'probability') if key in record]
    return names


def _write_json(file: Path, content: dict) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    file.write_text(text + '\n', encoding='utf-8')


def choose_formats(
    formats: Sequence[str] | None, place: Georeference, scene: str
) -> list[str]:
    """The vector formats to write; a ValueError says that GeoJSON needs a place."""
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
    warn(f'{reason}. The GeoPackage has the coordinates of the scene')
    return ['gpkg']
