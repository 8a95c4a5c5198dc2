# SPDX-License-Identifier: Apache-2.0
"""Pictures of validation and test samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine.dataset import DefaultSampler
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch.utils.data import DataLoader

from ...imagery import read_picture
from ...utils.files import write_picture
from ...utils.text import shortened


@HOOKS.register_module()
class ReferringVisualizationHook(Hook):
    """Draws image, prediction, truth and expression of some samples.

    While training, the same validation samples, spread over the set, go to the
    visualizer's backends after each validation, so that progress can be seen. In
    testing, pictures are files in ``show_dir``. Every process draws the samples that
    it computed; those of validation go to the first one, which has the backends.

    MMSegmentation's hook would draw the first sample of a batch only, others at
    each validation, and with several processes just those of the first.

    Args:
        draw: Whether to draw at all.
        val_samples: Number of validation samples to draw.
        interval: Draw every n-th test sample.
        show_dir: Folder for pictures of test samples; None draws none.
        backend_args: Where images are read from, see :func:`mmengine.fileio.get`;
            None is the local disk.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        draw: bool = True,
        val_samples: int = 8,
        interval: int = 1,
        show_dir: str | None = None,
        backend_args: dict | None = None,
    ) -> None:
        if interval < 1 or val_samples < 1:
            raise ValueError(
                'ReferringVisualizationHook: interval and val_samples must be 1 or '
                f'more, not {interval} and {val_samples}'
            )
        self.draw = draw
        self.val_samples = val_samples
        self.interval = interval
        self.show_dir = None if show_dir is None else Path(show_dir)
        self.backend_args = backend_args
        self._drawn: list[tuple[str, np.ndarray]] = []

    def before_val_epoch(self, runner: Runner) -> None:
        """Forget what a validation that was cut short has drawn."""
        self._drawn.clear()

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw those of the batch's samples that belong to the chosen ones."""
        if not self.draw:
            return
        loader = runner.val_dataloader
        step = max(1, len(loader.dataset) // self.val_samples)
        for index, sample in _with_index(loader, batch_idx, outputs or ()):
            if index % step == 0 and index // step < self.val_samples:
                self._drawn.append((f'val_{index:06d}', self._picture(runner, sample)))

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Hand the pictures of all processes to the backends."""
        if not self.draw:
            return
        for drawn in all_gather_object(self._drawn):
            for name, picture in drawn:
                runner.visualizer.add_image(name, picture, runner.iter)
        self._drawn.clear()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Write pictures of every n-th sample."""
        if not self.draw or self.show_dir is None:
            return
        loader = runner.test_dataloader
        for index, sample in _with_index(loader, batch_idx, outputs or ()):
            if index % self.interval == 0:
                picture = self._picture(runner, sample)
                stem = shortened(Path(sample.img_path).stem)
                file = self.show_dir / f'{index:06d}_{stem}.png'
                write_picture(file, mmcv.rgb2bgr(picture))

    def _picture(self, runner: Runner, sample: SegDataSample) -> np.ndarray:
        picture = read_picture(
            sample.img_path,
            backend_args=self.backend_args,
            **sample.metainfo.get('img_reading', {}),
        )
        return runner.visualizer.draw_datasample(picture.rgb, sample)


def _with_index(
    loader: DataLoader, batch_idx: int, outputs: Sequence[SegDataSample]
) -> Iterator[tuple[int, SegDataSample]]:
    """Pairs samples with their index in the dataset.

    MMEngine's sampler deals indices to the processes one by one, and may deal the
    first ones again at the end so that all have the same number.
    """
    sampler: DefaultSampler = loader.sampler
    first = batch_idx * (loader.batch_size or 1)
    for position, sample in enumerate(outputs, start=first):
        index = position * sampler.world_size + sampler.rank
        if index < len(sampler.dataset):
            yield index, sample
