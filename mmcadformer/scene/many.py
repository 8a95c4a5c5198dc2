# SPDX-License-Identifier: Apache-2.0
"""Many scenes in one go: one network, one bar, one report, one layer of all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rasterio.errors import RasterioError
from tqdm import tqdm

from ..imagery import common_value_range, open_raster
from ..utils.files import read_json, write_json
from ..utils.lock import FolderInUse
from ..utils.log import warn
from ..utils.progress import progress_bar
from .aoi import OutsideSceneError
from .merging import merge_scenes
from .reader import Reading, SceneReader
from .results import SceneResult, Writing
from .segmentor import SceneSegmentor, check_expressions
from .sharing import Share
from .sources import SET_NAME, SceneSource, find_scenes
from .tiling import Tiling

REPORT_FORMAT, REPORT_VERSION = 'mmcadformer scenes', 1


@dataclass(frozen=True)
class SetOptions:
    """What is done with many scenes as a whole.

    Args:
        asset: Which asset of STAC items is the scene; by default the only picture.
        merge: Write all objects into one GeoPackage, too.
        common_stretch: Stretch the values of all scenes alike, so that neighbours
            meet without a seam. Where they have 8 bits, they are taken as they are.
        skip_errors: Go on after a scene that can't be used, and report it.
    """

    asset: str | None = None
    merge: bool = False
    common_stretch: bool = False
    skip_errors: bool = False


@dataclass
class ScenesResult:
    """What a run on many scenes wrote.

    Args:
        report: Per scene its ``name``, ``scene`` (the path), ``state`` ('done',
            'failed', or 'outside' of the area of interest), and ``error`` or
            ``objects`` (how many, per expression).
        files: All files, the report last.
        kept: How many scenes had been finished before; 0 where processes share them.
    """

    report: dict
    files: list[Path] = field(default_factory=list)
    kept: int = 0

    def of(self, state: str) -> list[dict]:
        """Records of the scenes in a state."""
        return [scene for scene in self.report['scenes'] if scene['state'] == state]


@dataclass(frozen=True)
class SceneSet:
    """Scenes, and how all of them are read and written.

    Use :func:`prepare_scenes`, which finds what can be found before any work is done.

    Args:
        sources: The scenes.
        folder: For the results of all.
        options: What is done with them as a whole.
        reading, writing: See :class:`SceneSegmentor`.
        sizes: Height and width of each scene, as far as its header tells.
    """

    sources: Sequence[SceneSource]
    folder: Path
    options: SetOptions
    reading: Reading
    writing: Writing
    sizes: Sequence[tuple[int, int]]

    @property
    def report_file(self) -> Path:
        """Written last."""
        return self.folder / f'{SET_NAME}.json'

    @property
    def merged_file(self) -> Path:
        """GeoPackage of all objects."""
        return self.folder / f'{SET_NAME}.gpkg'


def prepare_scenes(
    scenes: str | os.PathLike | Sequence[str | os.PathLike],
    out_dir: str | os.PathLike,
    options: SetOptions | None = None,
    reading: Reading | None = None,
    writing: Writing | None = None,
) -> SceneSet:
    """Finds scenes and what speaks against them, without reading their pixels.

    Args:
        scenes: See :func:`find_scenes`.
        out_dir, options, reading, writing: See :func:`segment_scenes`.

    Raises:
        FileNotFoundError, ValueError: If inputs or options can't be used, or a scene
            can't be opened and errors aren't to be skipped.
    """
    options, reading = options or SetOptions(), reading or Reading()
    writing = writing or Writing()
    if options.merge and writing.formats and 'gpkg' not in writing.formats:
        raise ValueError(
            "merging puts the scenes' GeoPackages together: add gpkg to the formats"
        )
    if options.common_stretch and reading.value_range is not None:
        raise ValueError('a common stretch and a value range exclude each other')
    sources, sizes = [], []
    for source in find_scenes(scenes, options.asset, out_dir):
        problem, size = source.problem, (0, 0)
        if not problem:
            problem, size = _look_at_header(source.path, reading, writing)
        if problem and not options.skip_errors:
            raise ValueError(problem)
        part = reading.subdataset
        name = source.name if part is None else f'{source.name}_{part}'
        sources.append(replace(source, name=name, problem=problem))
        sizes.append(size)
    result = SceneSet(sources, Path(out_dir), options, reading, writing, sizes)
    _check_folder(result)
    return result


def segment_scenes(
    segmentor: SceneSegmentor,
    scenes: SceneSet | str | os.PathLike | Sequence[str | os.PathLike],
    expressions: str | Sequence[str],
    out_dir: str | os.PathLike | None = None,
    *,
    options: SetOptions | None = None,
    aoi: str | os.PathLike | None = None,
    aoi_layer: str | None = None,
    reading: Reading | None = None,
    writing: Writing | None = None,
    restart: bool = False,
    progress: bool = True,
    share: Share | None = None,
) -> ScenesResult:
    """Segments many scenes, one after the other, with one bar for all.

    A run that was interrupted goes on when it is started again with the same
    arguments. Scenes that any earlier run has finished with these are left as they
    are; those that have changed since are done again.

    Args:
        segmentor: Looks at each.
        scenes: See :func:`find_scenes`; or what :func:`prepare_scenes` made of it and
            of ``out_dir``, ``options``, ``reading`` and ``writing``.
        expressions: One or more sentences, for all scenes.
        out_dir: Folder for the results of all.
        options: What is done with them as a whole.
        aoi, aoi_layer, reading, writing, restart, progress: See
            :class:`SceneSegmentor`. Scenes outside of the area are left out.
        share: This process's part, where several do the same call. The first of them
            takes over what others don't come to, and alone writes what is about all
            scenes; the result of the others is about their own.

    Raises:
        FileNotFoundError, ValueError: If a scene can't be used and errors aren't to be
            skipped, or if no scene can.
    """
    expressions = check_expressions(expressions)
    if aoi is not None and not Path(aoi).exists():
        raise FileNotFoundError(f'area of interest {os.fspath(aoi)} does not exist')
    if not isinstance(scenes, SceneSet):
        if out_dir is None:
            raise ValueError('out_dir is missing: where are the results to go?')
        scenes = prepare_scenes(scenes, out_dir, options, reading, writing)
    if share is not None and restart:
        raise ValueError(
            'several processes can only go on with what there is: remove the results '
            'in place of beginning anew'
        )
    scenes = _with_common_stretch(scenes)
    arguments = dict(aoi=aoi, aoi_layer=aoi_layer, restart=restart)
    arguments['wait'] = share is not None
    result = ScenesResult(dict(expressions=expressions, scenes=[]))
    if share is not None:
        part = _part(scenes, share)
        own = [*_each_scene(segmentor, part, expressions, arguments, progress)]
        if not share.is_first:
            result.report['scenes'] = [record for record, _ in own]
            return result
    found = _each_scene(segmentor, scenes, expressions, arguments, progress)
    summaries = []
    for record, of_scene in found:
        result.report['scenes'].append(record)
        if of_scene is not None:
            summaries.append((record['name'], of_scene.summary))
            result.files += of_scene.files
            result.kept += of_scene.kept and share is None
    if scenes.options.merge and summaries:
        merge_scenes(scenes.merged_file, summaries)
        result.files.append(scenes.merged_file)
    _write_report(scenes, result)
    if not summaries:
        raise ValueError(
            f'no scene could be used: see {scenes.report_file}, which begins with '
            + result.report['scenes'][0].get('error', 'one outside of the area')
        )
    return result


def _look_at_header(
    path: str, reading: Reading, writing: Writing
) -> tuple[str, tuple[int, int]]:
    """What is wrong with a scene, if anything; and its height and width."""
    try:
        with open_raster(path) as file:
            size = file.height, file.width
            has_place = not file.transform.is_identity or file.gcps[0] or file.rpcs
    except (RasterioError, UnicodeEncodeError):
        try:
            SceneReader(path, reading).close()  # says it better
        except (FileNotFoundError, ValueError) as error:
            return str(error), (0, 0)
        return '', (0, 0)
    if 'geojson' in (writing.formats or ()) and not has_place:
        return (
            f'{path} does not say where on the earth it lies, which GeoJSON is about: '
            'leave the format geojson out'
        ), size
    return '', size


def _check_folder(scenes: SceneSet) -> None:
    """Raises a ValueError if the files about all scenes would replace others."""
    if scenes.report_file.exists():
        try:
            read_json(scenes.report_file, REPORT_FORMAT, REPORT_VERSION)
            return
        except ValueError:
            taken = scenes.report_file
    elif scenes.options.merge and scenes.merged_file.exists():
        taken = scenes.merged_file
    else:
        return
    raise ValueError(
        f'{taken} would be replaced, and is not from an earlier run on many scenes: '
        'choose another output folder'
    )


def _with_common_stretch(scenes: SceneSet) -> SceneSet:
    if not scenes.options.common_stretch:
        return scenes
    paths = [source.path for source in scenes.sources if not source.problem]
    found = common_value_range(paths, scenes.reading, scenes.options.skip_errors)
    return replace(scenes, reading=replace(scenes.reading, value_range=found))


def _part(scenes: SceneSet, share: Share) -> SceneSet:
    sources, sizes = share.of(scenes.sources), share.of(scenes.sizes)
    return replace(scenes, sources=sources, sizes=sizes)


def _each_scene(
    segmentor: SceneSegmentor,
    scenes: SceneSet,
    expressions: list[str],
    arguments: dict,
    progress: bool,
) -> Iterator[tuple[dict, SceneResult | None]]:
    """Record of each scene, and its result if it has one."""
    pairs = max(1, segmentor.network.pairs // len(expressions))
    steps = [_steps(segmentor.tiling, size, pairs) for size in scenes.sizes]
    todo = sum(steps)
    bar: tqdm = progress_bar(total=todo, show=progress)
    try:
        for source, expected in zip(scenes.sources, steps, strict=True):
            todo -= expected
            bar.total = bar.n + todo  # the scene adds what it really has
            bar.set_postfix_str(source.name, refresh=False)
            record, result = _one_scene(
                segmentor, scenes, source, expressions, dict(arguments, progress=bar)
            )
            if result is not None and result.kept:
                bar.total += expected
            bar.update(bar.total - todo - bar.n)
            yield record, result
    finally:
        bar.close()


def _steps(tiling: Tiling, size: tuple[int, int], pairs: int) -> int:
    return len(tiling.batches(*size, pairs)) if all(size) else 0


def _one_scene(
    segmentor: SceneSegmentor,
    scenes: SceneSet,
    source: SceneSource,
    expressions: list[str],
    arguments: dict,
) -> tuple[dict, SceneResult | None]:
    is_file = os.path.isfile(source.path)
    path = os.path.abspath(source.path) if is_file else source.path
    record = dict(name=source.name, scene=path)
    try:
        if source.problem:
            raise ValueError(source.problem)
        result = _when_free(
            segmentor,
            source.path,
            expressions,
            scenes.folder,
            reading=scenes.reading,
            writing=scenes.writing,
            name=source.name,
            keep=True,
            **arguments,
        )
    except OutsideSceneError:
        return dict(record, state='outside'), None
    except (FileNotFoundError, ValueError) as error:
        if not scenes.options.skip_errors:
            raise
        warn(f'left out: {error}')
        return dict(record, state='failed', error=str(error)), None
    counts = [found['objects'] for found in result.summary['expressions']]
    return dict(record, state='done', objects=counts), result


def _when_free(
    segmentor: SceneSegmentor, *args: Any, wait: bool, **kwargs: Any
) -> SceneResult:
    """A scene's result, waiting for the process that has it if work is shared."""
    while True:
        try:
            return segmentor(*args, **kwargs)
        except FolderInUse:
            if not wait:
                raise
        time.sleep(0.5)


def _write_report(scenes: SceneSet, result: ScenesResult) -> None:
    states = ('done', 'failed', 'outside')
    result.report = dict(
        format=REPORT_FORMAT,
        version=REPORT_VERSION,
        counts={state: len(result.of(state)) for state in states},
        value_range=scenes.reading.value_range,
        merged=scenes.merged_file.name if scenes.merged_file in result.files else None,
        **result.report,
    )
    write_json(scenes.report_file, result.report)
    result.files.append(scenes.report_file)
