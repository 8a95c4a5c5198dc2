# SPDX-License-Identifier: Apache-2.0
"""From a large georeferenced scene and sentences to rasters and polygons."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import shapely
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from tqdm import tqdm

from ..apis import init_model
from ..apis.model_zoo import find_model, is_model_name
from ..utils.checkpoint import weights_digest
from ..utils.config import input_shape
from ..utils.files import digest
from ..utils.lock import locked
from ..utils.log import warn
from ..utils.text import visible_text
from .aoi import AreaOfInterest, read_aoi
from .network import ModelNetwork, TileNetwork
from .presence import read_presence
from .reader import Reading, SceneReader
from .results import Outputs, ResultWriter, SceneResult, Writing, choose_formats
from .run import RunFiles, SceneRun
from .tiling import Tiling

# Halves of surrogate pairs and zero bytes: no file can hold them.
_UNWRITABLE = re.compile('[\ud800-\udfff\0]')


class SceneSegmentor:
    """Finds what sentences name in scenes of any size.

    Example::

        segmentor = SceneSegmentor.from_name('remotesam')
        result = segmentor('scene.tif', 'the ship')  # files in 'outputs'

        segmentor = SceneSegmentor.from_config(CONFIG, CHECKPOINT, tile_sizes=(480,))
        result = segmentor('scene.tif', ['the red roofs'], 'out')

    Args:
        network: Looks at the tiles, with the same weights as long as this lives.
        tiling: How scenes are cut.
        presence: Threshold for the presence score of a tile, or the file of
            ``tools/analysis/calibrate_presence.py``. Tiles below it say nothing;
            pixels for which no tile speaks get probability 0. None looks
            everywhere, unless the network has a presence head: then it is the
            threshold that is stored with its weights.
        origin: Where the network comes from, as JSON; noted in the results.
    """

    def __init__(
        self,
        network: TileNetwork,
        tiling: Tiling | None = None,
        presence: float | str | os.PathLike | None = None,
        origin: dict | None = None,
    ) -> None:
        self.network = network
        self.origin = origin or {}
        self.tiling = tiling or Tiling()
        if presence is None:
            presence = getattr(network, 'threshold', None)
        self.presence, calibration = read_presence(presence)
        if calibration.get('network', '') not in ('', self._network_name):
            warn(
                f'{presence} was made with another checkpoint or precision: its '
                'threshold may not suit this one'
            )

    @classmethod
    def from_config(
        cls,
        config: str | os.PathLike | Config | None,
        checkpoint: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        *,
        tile_sizes: Sequence[int] | None = None,
        overlap: float = 0.25,
        presence: float | str | os.PathLike | None = None,
        batch_size: int = 4,
        amp: str | None = None,
        cfg_options: dict | None = None,
        weights: str | os.PathLike | None = None,
        runtime: str | None = None,
    ) -> SceneSegmentor:
        """Builds one from a config and a checkpoint, or from a released model's name.

        See :func:`~mmcadformer.apis.init_model`, :class:`Tiling` and
        :class:`ModelNetwork`, whose ``pairs`` are the ``batch_size``. By default tiles
        have 480 pixels, those of a released model the size of its input.
        """
        tiling = Tiling(tuple(tile_sizes or (480,)), overlap)
        read_presence(presence)  # fails before the model is loaded
        model = init_model(config, checkpoint, device, cfg_options, weights, runtime)
        if tile_sizes is None and is_model_name(config):
            tiling = Tiling((max(input_shape(model.cfg)),), overlap)
        file = config.filename if isinstance(config, Config) else config
        print_log(f'model loaded: {file}, {checkpoint}', logger='current')
        origin = dict(
            config=file and Path(file).name,
            checkpoint=checkpoint and Path(checkpoint).name,
            weights_sha256=weights_digest(model.state_dict()).hexdigest(),
        )
        network = ModelNetwork(model, batch_size, amp)
        origin['precision'] = network.precision
        print_log(network.precision_note, logger='current')
        return cls(network, tiling, presence, origin)

    @classmethod
    def from_name(cls, name: str, **options: Any) -> SceneSegmentor:
        """Builds one from a released model: :meth:`from_config` with its name.

        Raises:
            ValueError: There is no such model.
        """
        find_model(name)
        return cls.from_config(name, **options)

    def __call__(
        self,
        scene: str | os.PathLike,
        expressions: str | Sequence[str],
        out_dir: str | os.PathLike = 'outputs',
        *,
        aoi: str | os.PathLike | None = None,
        aoi_layer: str | None = None,
        reading: Reading | None = None,
        writing: Writing | None = None,
        restart: bool = False,
        progress: bool | tqdm = True,
        name: str | None = None,
        keep: bool = False,
    ) -> SceneResult:
        """Segments a scene.

        A run that was interrupted goes on where it was when it is started again
        with the same arguments, and ends with the same files.

        Args:
            scene: Raster that GDAL reads.
            expressions: One or more sentences.
            out_dir: Folder for the results, made if needed. They are called after
                the scene.
            aoi: Vector file with polygons: the search is there only, elsewhere the
                results have no data.
            aoi_layer: Name of its layer; by default the first.
            reading: How the scene's pixels are understood; what it doesn't say is
                taken from the loader in the model's config.
            writing: What is written.
            restart: Begin anew instead of going on with an interrupted run.
            progress: Show a progress bar; or the bar that many scenes share.
            name: What the results are called; by default as the scene.
            keep: Leave the results of an earlier run with the same arguments as they
                are, instead of making them again.

        Raises:
            FileNotFoundError: If scene or area of interest don't exist.
            ValueError: If an input can't be used; the message says which and why.
            OSError: If another process works on the same results, or a file can't
                be written.
        """
        expressions = check_expressions(expressions)
        writing = writing or Writing()
        if aoi is None and aoi_layer is not None:
            raise ValueError(
                f'{aoi_layer!r} is to be a layer of an area of interest (aoi), but '
                'none is given'
            )
        # What the network was trained on, unless something else is said.
        trained_on = getattr(self.network, 'reading', {})
        reading = (reading or Reading()).over(trained_on)
        with SceneReader(scene, reading) as reader:
            size = (reader.height, reader.width)
            place = reader.place()
            area = None if aoi is None else read_aoi(aoi, place, *size, aoi_layer)
            # Wrong formats and folders are found before any work is done.
            formats = choose_formats(writing.formats, place, reader.path)
            name = name or reader.stem()
            outputs = Outputs(Path(out_dir), name, formats)
            inputs = [reader.path, *reader.files(), *([] if aoi is None else [aoi])]
            outputs.check(reader.name, inputs)
            try:
                outputs.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ValueError(
                    f'output folder {out_dir} cannot be made: {error}'
                ) from None
            plan = self._plan(reader, area, expressions)
            chosen = asdict(replace(writing, formats=tuple(formats)))
            fingerprint = digest(dict(plan, writing=chosen))
            with locked(outputs.folder, name):
                finished = outputs.finished(fingerprint)
                if keep and not restart and finished is not None:
                    return finished
                run = SceneRun(
                    reader,
                    self.network,
                    self.tiling,
                    expressions,
                    self.presence,
                    area,
                    RunFiles(outputs.work, plan, restart),
                )
                run.look(progress)
                writer = ResultWriter(run, place, writing, outputs, self.origin)
                return writer.write(fingerprint)

    @cached_property
    def _network_name(self) -> str:
        """Its fingerprint, for which all weights are read: once, not per scene."""
        return self.network.fingerprint()

    def _plan(
        self, reader: SceneReader, aoi: AreaOfInterest | None, expressions: list[str]
    ) -> dict:
        """All that the files of the run depend on."""
        area = None
        if aoi is not None:
            area = hashlib.sha256(shapely.to_wkb(aoi.polygons)).hexdigest()
        return dict(
            scene=reader.facts(),
            reading=asdict(reader.reading),
            area_of_interest=area,
            expressions=expressions,
            tiling=asdict(self.tiling),
            batch_size=self.network.pairs,
            presence=self.presence,
            network=self._network_name,
        )


def check_expressions(expressions: str | Sequence[str]) -> list[str]:
    """Sentences without blanks around them; refuses what can't be written."""
    if isinstance(expressions, str):
        expressions = [expressions]
    if not len(expressions):
        raise ValueError('no expression is given')
    for number, expression in enumerate(expressions, start=1):
        if not visible_text(expression) or _UNWRITABLE.search(expression):
            raise ValueError(
                f'expression {number} is empty or not a text: {expression!r}'
            )
    return [expression.strip() for expression in expressions]
