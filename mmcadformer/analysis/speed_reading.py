# SPDX-License-Identifier: Apache-2.0
"""How fast a worker reads, and how long training waits for it."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS

from ..utils.precision import has_bfloat16
from .latency import by_turns, medians, timed
from .speed_suite import Machine
from .steps import Setting, build_model, training_step

_SIDE = 800  # of the pictures that training waits for, as RRSIS-D's
_PICTURES = 64


def measure_data(cfg: Config, machine: Machine) -> list[dict]:
    """Pictures read and resized by one worker: MMCV's transforms, and ours."""
    size = machine.shape[::-1]
    resize = dict(scale=size, keep_ratio=False)
    pillow = dict(resize, type='Resize', backend='pillow')
    smooth = dict(resize, type='SmoothResize')
    load, ours = (
        dict(type='mmcv.LoadImageFromFile'),
        dict(type='WholeLoadImageFromFile'),
    )
    pipelines: dict[str, list[dict]] = {
        'MMCV, not smoothed': [load, dict(resize, type='Resize')],
        'MMCV, smoothed by Pillow': [load, pillow],
        'WholeLoadImageFromFile and Pillow': [ours, pillow],
        'and SmoothResize': [ours, smooth],
        'and reduce_to': [dict(ours, reduce_to=size), smooth],
    }
    rows = []
    for side in (800, 1024):
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, 'picture.jpg'))
            _draw_photograph(file, side)
            ways = {
                name: partial(_seconds, steps, file)
                for name, steps in pipelines.items()
            }
            by_turns(ways, 1)
            turns = by_turns(ways, 2 * machine.rounds)
        for name, (seconds, ratio) in medians(turns, next(iter(ways))).items():
            rows.append(
                {
                    'setting': f'{name}, {side} px',
                    'images/s of a worker': round(1 / seconds, 1),
                    'ratio': round(ratio, 3),
                }
            )
    return rows


def _draw_photograph(file: str, side: int) -> None:
    """A JPEG of about as many bytes as an aerial photograph of its size has."""
    rng = np.random.default_rng(0)
    areas = rng.integers(256, size=(side // 8, side // 8, 3), dtype=np.uint8)
    grain = rng.normal(0, 4, size=(side, side, 1))
    picture = np.clip(cv2.resize(areas, (side, side)) + grain, 0, 255)
    cv2.imwrite(file, picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])


def _seconds(pipeline: list[dict], file: str) -> float:
    """Of a picture, by the process's own time, which neighbours don't stretch."""
    steps = [TRANSFORMS.build(step) for step in pipeline]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    count, start = 20, time.process_time()
    for _ in range(count):
        sample: dict = dict(img_path=file)
        for step in steps:
            sample = step(sample)
    seconds = (time.process_time() - start) / count
    torch.set_num_threads(threads)
    return seconds


def measure_waiting(cfg: Config, machine: Machine) -> list[dict]:
    """Training steps that read JPEGs by the config's own workers: time lost waiting."""
    plain = Setting('float32', 2, machine.tokens)
    settings = [plain]
    if has_bfloat16(machine.device):
        settings.append(replace(plain, name='bfloat16', amp=True))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _draw_data(Path(folder))
        loader_cfg = cfg.train_dataloader.to_dict()
        pipeline = loader_cfg['dataset'].get('pipeline', cfg.train_pipeline)
        dataset = dict(type='ReferringJsonDataset', data_root=folder, pipeline=pipeline)
        loader_cfg.update(batch_size=2, dataset=dataset)
        for setting in settings:
            loader = Runner.build_dataloader(loader_cfg, seed=0)
            seconds, waited = _seconds_of_steps(cfg, setting, machine, loader)
            rows.append(
                {
                    'setting': f'{setting.name}, {loader.num_workers} workers',
                    'step, s': round(seconds, 4),
                    'of it waiting, s': round(waited, 4),
                    'share': round(waited / seconds, 3),
                }
            )
            del loader
    return rows


def _seconds_of_steps(
    cfg: Config, setting: Setting, machine: Machine, loader: torch.utils.data.DataLoader
) -> tuple[float, float]:
    """Medians: of a step, and of the wait for its batch."""
    conditions = machine.conditions('train')
    waits: list[float] = []
    batches = endless(loader)

    def draw() -> dict:
        start = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - start)
        return batch

    model = build_model(cfg, setting, conditions)
    step = training_step(model, setting, conditions, draw)
    device = torch.device(machine.device)
    count = conditions.warmup + conditions.iters
    times = [timed(step, device) / 1000 for _ in range(count)]
    late = slice(conditions.warmup, None)
    return statistics.median(times[late]), statistics.median(waits[late])


def endless(loader: torch.utils.data.DataLoader) -> Iterator[dict]:
    """Batches without end."""
    while True:
        yield from loader


def _draw_data(folder: Path) -> None:
    """Photographs with one object each, as JSON lines."""
    box = [200, 250, 400, 250, 400, 400, 200, 400]
    truth = dict(mask=[box], expression='the large pool', split='train')
    _draw_photograph(str(folder / '0.jpg'), _SIDE)
    line = json.dumps(dict(image='0.jpg', **truth))
    (folder / 'annotations.jsonl').write_text(f'{line}\n' * _PICTURES)
