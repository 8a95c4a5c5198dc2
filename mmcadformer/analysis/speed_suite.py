# SPDX-License-Identifier: Apache-2.0
"""What this machine reaches: ratios to plain float32, by turns, on one page."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from tabulate import tabulate

from ..apis import ReferringInferencer
from ..utils.files import read_json, write_json, write_text
from ..utils.machine import describe_machine, device_name
from ..utils.precision import has_bfloat16
from .cost import build_without_weights, count_flops, random_inputs, without_weights
from .latency import by_turns, medians, timed
from .steps import Conditions, Setting, measure_model

Measure = Callable[[Config, 'Machine'], list[dict]]
"""Rows of one part of the page."""

_FORMAT, _VERSION = 'mmcadformer speed', 1
_SENTENCES = 8
# Makers' numbers for dense products in bfloat16, in 1e12 operations a second.
_PEAKS = {'H100': 989, 'H200': 989, 'A100': 312, 'L40S': 362, 'RTX 4090': 165}
# Operations of a training step per those of its forward pass.
_TRAINING = 3


@dataclass
class Machine:
    """Where it is measured, and in how many turns."""

    device: str
    shape: tuple[int, int]
    tokens: int
    rounds: int
    checkpoint: str | None = None
    exported: tuple[str, ...] = ()

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a GPU: there steps are short and many."""
        return torch.device(self.device).type == 'cuda'

    def conditions(self, mode: str) -> Conditions:
        """Steps of a turn."""
        steps = (5, 20) if self.is_gpu else (1, 3 if mode == 'infer' else 2)
        known = (mode, self.shape, self.device, self.checkpoint)
        return Conditions(*known, warmup=steps[0], iters=steps[1])


def run_suite(
    cfg: Config, name: str, args: argparse.Namespace, measures: Mapping[str, Measure]
) -> str:
    """Measures, and writes page and numbers into a folder.

    Args:
        cfg: Of the model.
        name: Of the config, for the page.
        args: ``suite`` (the folder), ``parts`` (None for all), ``device``, ``shape``,
            ``tokens``, ``rounds``, ``checkpoint``, ``exported``.
        measures: What there is, by the names of parts.

    Returns:
        The page.
    """
    exported = tuple(args.exported)
    machine = Machine(
        args.device, args.shape, args.tokens, args.rounds, args.checkpoint, exported
    )
    kind = ''.join(c if c.isalnum() else '_' for c in device_name(args.device).lower())
    file = Path(args.suite) / f'speed_{kind}.json'
    parts = {}
    if file.exists():
        parts = read_json(file, _FORMAT, _VERSION)['parts']
    height, width = args.shape
    for part in args.parts or measures:
        rows = measures[part](cfg, machine)
        if not rows:
            continue
        parts[part] = dict(
            config=f'{name}, {height} x {width} px',
            machine=describe_machine(args.device),
            date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            rows=rows,
        )
        # Each as soon as it is known.
        write_json(file, dict(format=_FORMAT, version=_VERSION, parts=parts))
        write_text(file.with_suffix('.md'), write_page(parts))
    return write_page(parts)


def write_page(parts: dict[str, dict]) -> str:
    """Markdown from the numbers of each part."""
    lines = ['# Speed', '']
    lines += ['Written by `tools/analysis/benchmark.py CONFIG --suite FOLDER`. Weights']
    lines += [
        'are random. Settings take turns; `time` is the median, `ratio` the median'
    ]
    lines += ['of the turns, of the time by that of the first row: below 1 is faster.']
    for name, part in parts.items():
        about = f'{part["config"]}; {part["machine"]}; {part["date"]}.'
        table = tabulate(part['rows'], headers='keys', tablefmt='github')
        lines += ['', f'## {name.capitalize()}', '', about, '', table]
    return '\n'.join(lines) + '\n'


def measure_inference(cfg: Config, machine: Machine) -> list[dict]:
    """The network alone, one image and one sentence; in batches on GPUs."""
    plain = Setting('float32', 1, machine.tokens)
    settings = [plain]
    if has_bfloat16(machine.device):
        settings.append(replace(plain, name='bfloat16', amp=True))
        fast = replace(settings[-1], name='bfloat16, channels last', channels_last=True)
        settings.append(fast)
    if machine.is_gpu:
        settings.append(replace(settings[-1], name='bfloat16, compiled', compile=True))
        settings += [
            replace(s, name=f'{s.name}, batch 16', batch_size=16) for s in settings
        ]
    return measure_settings(cfg, settings, machine, 'infer')


def measure_training(cfg: Config, machine: Machine) -> list[dict]:
    """Whole steps, from uint8 images on the host to new weights."""
    rows = []
    for size in (2, 8, 16) if machine.is_gpu else (2,):
        plain = Setting(f'float32, batch {size}', size, machine.tokens)
        settings = [plain]
        if machine.is_gpu:
            settings.append(replace(plain, name=f'tf32, batch {size}', tf32=True))
        if has_bfloat16(machine.device):
            small = replace(plain, name=f'bfloat16, batch {size}', amp=True)
            settings.append(small)
            if machine.is_gpu:
                name = f'bfloat16, compiled, batch {size}'
                settings.append(replace(small, name=name, compile=True))
            saving = (('model.backbone.with_cp', True),)
            name = f'bfloat16, checkpointing, batch {size}'
            settings.append(replace(small, name=name, cfg_options=saving))
        rows += measure_settings(cfg, settings, machine, 'train')
    peak = _peak(machine.device)
    if peak is None:
        return rows
    model = build_without_weights(cfg, machine.tokens, machine.device)
    inputs = random_inputs(machine.shape, machine.tokens, device=machine.device)
    flops = _TRAINING * count_flops(model, **inputs)['']
    for row in rows:
        row['share of bf16 peak'] = round(flops * row['images/s'] / peak, 3)
    return rows


def _peak(device: str) -> float | None:
    """Operations a second in bfloat16 by its maker, if known."""
    name = device_name(device)
    return next((1e12 * top for gpu, top in _PEAKS.items() if gpu in name), None)


def measure_settings(
    cfg: Config, settings: list[Setting], machine: Machine, mode: str
) -> list[dict]:
    """Rows of settings, which are measured in alternating order."""
    conditions = machine.conditions(mode)
    # On GPUs, which compile for minutes, one turn.
    ways = {s.name: partial(measure_model, cfg, s, conditions) for s in settings}
    turns = by_turns(ways, 1 if machine.is_gpu else machine.rounds)
    first = settings[0]
    times = [{name: found['median'] for name, found in t.items()} for t in turns]
    found = medians(times, first.name)
    rows = []
    for setting in settings:
        milliseconds, ratio = found[setting.name]
        per_image = first.batch_size / setting.batch_size
        rows.append(
            {
                'setting': setting.name,
                'time, s': round(milliseconds / 1000, 4),
                'images/s': round(1000 * setting.batch_size / milliseconds, 3),
                'ratio': round(ratio * per_image, 3),
                'peak memory, MiB': round(
                    max(t[setting.name]['memory'] for t in turns)
                ),
            }
        )
    return rows


def measure_expressions(cfg: Config, machine: Machine) -> list[dict]:
    """Eight sentences on one picture: a call for each, and one for all."""
    cfg = without_weights(cfg, machine.tokens)
    picture = _picture(machine.shape)
    texts = [f'the {word} pool' for word in ('red', 'large', 'left', 'blue')]
    texts = (texts * _SENTENCES)[:_SENTENCES]

    def call(sentences: list, **how: Any) -> Callable[[], object]:
        run = ReferringInferencer(cfg, None, machine.device, **how)
        return lambda: [run(picture, sentence) for sentence in sentences]

    together = dict(expression_batch_size=_SENTENCES)
    ways = {
        'eight calls, float32': call(texts),
        'eight calls, --amp': call(texts, amp='auto'),
        'one call, float32': call([texts], **together),
        'one call, --amp': call([texts], amp='auto', **together),
    }
    for way in ways.values():
        way()
    device = torch.device(machine.device)
    calls = {name: partial(timed, way, device) for name, way in ways.items()}
    turns = by_turns(calls, max(machine.rounds, 2))
    found = medians(turns, next(iter(ways)))
    return [_row(name, *times) for name, times in found.items()]


def measure_exported(cfg: Config, machine: Machine) -> list[dict]:
    """Files of ``tools/export.py`` beside the model that they were made from."""
    if not machine.exported:
        return []
    if machine.checkpoint is None:
        raise ValueError(
            '--exported needs --checkpoint, from which the files were made'
        )
    whole = partial(ReferringInferencer, cfg, machine.checkpoint, machine.device)
    runs = {'PyTorch, float32': whole()}
    fast = has_bfloat16(machine.device)
    if fast:
        runs['PyTorch, --amp'] = whole(amp='auto')
    for file in machine.exported:
        runs[Path(file).name] = ReferringInferencer(None, file, 'cpu')
        if fast and file.endswith('.xml'):
            amp = ReferringInferencer(None, file, 'cpu', amp='auto')
            runs[f'{Path(file).name}, --amp'] = amp
    picture, text = _picture(machine.shape), 'the large pool on the left'
    found = {name: run(picture, text)[0].probability for name, run in runs.items()}
    device = torch.device(machine.device)
    calls = {
        n: partial(timed, partial(r, picture, text), device) for n, r in runs.items()
    }
    first = next(iter(runs))
    rows = []
    for name, times in medians(by_turns(calls, machine.rounds), first).items():
        change = np.abs(found[name] - found[first])
        differences = dict(largest=float(change.max()), mean=float(change.mean()))
        rows.append(
            _row(name, *times)
            | {
                f'{kind} difference': f'{value:.1e}'
                for kind, value in differences.items()
            }
        )
    return rows


def _row(name: str, milliseconds: float, ratio: float) -> dict:
    return {
        'setting': name,
        'time, s': round(milliseconds / 1000, 3),
        'ratio': round(ratio, 3),
    }


def _picture(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
