# SPDX-License-Identifier: Apache-2.0
"""One method trained and tested with one seed; its folder tells its state."""

from __future__ import annotations

import gc
import json
import platform
import re
import runpy
import shutil
import signal
import sys
import textwrap
import time
import traceback
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..engine import (
    check_data_roots,
    check_seed,
    find_resume_checkpoint,
    override_data,
)
from ..utils.config import read_config
from ..utils.files import digest, read_json, write_json
from ..utils.lock import FolderInUse, locked

CHECKPOINTS = ('best', 'last')
_RECORDED = ('name', 'seed', 'config_hash', 'checkpoint', 'save_masks')
# What changes neither weights nor scores.
_IRRELEVANT = frozenset(
    'work_dir resume launcher log_level log_processor visualizer vis_backends'.split()
)


def prepare_config(
    path: str | Path,
    seed: int,
    options: dict | None = None,
    data_root: str | None = None,
    skip_validation: bool = False,
) -> Config:
    """Puts everything that a job depends on into one config."""
    check_seed(seed, '--seeds')
    cfg = read_config(path, options)
    override_data(cfg, data_root, None)
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    if skip_validation:
        cfg.update(val_dataloader=None, val_cfg=None, val_evaluator=None)
        cfg.default_hooks.checkpoint.save_best = None
    evaluators = cfg.get('test_evaluator')
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    if not any((e or {}).get('type') == 'ReferringIoUMetric' for e in evaluators):
        raise ValueError(
            f"{path}: the comparison needs test_evaluator.type='ReferringIoUMetric'"
        )
    check_data_roots(cfg, ('train', 'val', 'test'))
    return cfg


@dataclass(frozen=True)
class Job:
    """A training and the test of what it ended with."""

    name: str  # of the method
    seed: int
    folder: Path  # holds all files of the job, and nothing else
    config_hash: str
    checkpoint: str = 'best'  # what is tested: 'best' in validation, or 'last'
    save_masks: bool = False  # in the result file

    @property
    def label(self) -> str:
        """For messages."""
        return f'{self.name}, seed {self.seed}'

    @property
    def config_file(self) -> Path:
        """The config with every option in it."""
        return self.folder / 'config.py'

    @property
    def log_file(self) -> Path:
        """Output of all attempts."""
        return self.folder / 'log.txt'

    @property
    def result_file(self) -> Path:
        """One line per expression."""
        return self.folder / 'results.jsonl'

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Reads a job back from its folder."""
        file = folder / 'job.json'
        if not file.is_file():
            raise FileNotFoundError(f'{folder} holds no job: {file} does not exist')
        record = _read_record(file)
        return cls(folder=folder, **{key: record[key] for key in _RECORDED})

    @classmethod
    def plan(
        cls,
        name: str,
        seed: int,
        folder: Path,
        cfg: Config,
        checkpoint: str = 'best',
        save_masks: bool = False,
    ) -> Job:
        """Describes a job with a prepared config; writes nothing."""
        hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
        selects_best = hook.get('save_best') and cfg.get('val_cfg') is not None
        if checkpoint == 'best' and not selects_best:
            raise ValueError(
                f'{name}: the best checkpoint is wanted, but the config has no '
                'validation or no default_hooks.checkpoint.save_best; test the last '
                'one (--checkpoint last) or configure both'
            )
        config_hash = digest(_relevant_part(cfg))
        return cls(name, seed, folder, config_hash, checkpoint, save_masks)

    def prepare(self, cfg: Config, overwrite: bool = False) -> None:
        """Makes the folder for the config of :meth:`plan`.

        Raises:
            ValueError: If it belongs to another config, unless ``overwrite`` is set,
                which deletes what that left.
        """
        content = _relevant_part(cfg)
        file = self.folder / 'job.json'
        record = _read_record(file, 'config') if file.is_file() else None
        if record is not None and record['config_hash'] != self.config_hash:
            if not overwrite:
                keys = islice(_differing_keys(record['config'], content), 6)
                raise ValueError(
                    f'{self.folder} belongs to a run with another config, which '
                    f'differs in {", ".join(keys)}. Choose another --out-dir, or '
                    'delete that run by --overwrite'
                )
            shutil.rmtree(self.folder)
        if not self.config_file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            cfg.dump(self.config_file)
        self.mark('job.json', config=content)

    @property
    def is_trained(self) -> bool:
        """Whether training came to its end."""
        return self._read_mark('trained.json') is not None

    @property
    def is_done(self) -> bool:
        """Whether the results are there, of this config and as wanted."""
        mark = self._read_mark('done.json')
        return (
            mark is not None
            and self.result_file.is_file()
            and mark['checkpoint'] == self.checkpoint
            and (mark['save_masks'] or not self.save_masks)
        )

    def mark(self, file: str, **facts: object) -> None:
        """Records that a step came to its end, in 'trained.json' or 'done.json'."""
        own = {key: getattr(self, key) for key in _RECORDED}
        write_json(self.folder / file, {**own, **facts})

    def _read_mark(self, file: str) -> dict[str, Any] | None:
        """A mark, unless it is missing or was made with another config."""
        path = self.folder / file
        mark = _read_record(path) if path.is_file() else None
        return mark if mark and mark['config_hash'] == self.config_hash else None

    def find_checkpoint(self) -> Path:
        """The checkpoint to test; FileNotFoundError if training left none."""
        folder = self.folder / 'train'
        if self.checkpoint == 'last':
            found = find_resume_checkpoint(folder)
        else:
            # A run killed at the wrong moment leaves two; the later is the better.
            numbered = [
                (int(match[1]), path)
                for path in folder.glob('best_*.pth')
                if (match := re.search(r'_(?:epoch|iter)_(\d+)\.pth$', path.name))
                and zipfile.is_zipfile(path)
            ]
            found = max(numbered)[1] if numbered else None
        if found is None:
            raise FileNotFoundError(f'{folder} holds no {self.checkpoint} checkpoint')
        return found


def _read_record(file: Path, *more: str) -> dict[str, Any]:
    """What a job keeps of itself; ValueError if it isn't that."""
    record = read_json(file)
    keys = (*_RECORDED, *more)
    missing = (
        keys if not isinstance(record, dict) else [k for k in keys if k not in record]
    )
    if missing:
        raise ValueError(
            f'{file} is damaged, it has no {missing[0]!r}: delete the folder of the '
            'job to run it anew'
        )
    return record


def _relevant_part(cfg: Config) -> dict[str, Any]:
    """What of a config decides on the result, in the types of JSON."""
    kept = {k: v for k, v in cfg.to_dict().items() if k not in _IRRELEVANT}
    return json.loads(json.dumps(kept, default=repr, sort_keys=True))


def _differing_keys(one: object, two: object, key: str = '') -> Iterator[str]:
    """Names the keys of two nested dicts that hold different values."""
    if isinstance(one, dict) and isinstance(two, dict):
        for name in sorted({*one, *two}):
            path = f'{key}.{name}' if key else name
            if name in one and name in two:
                yield from _differing_keys(one[name], two[name], path)
            else:
                yield path
    elif one != two:
        yield key


def run_job(job: Job, tools: Path) -> None:
    """Does what is left to do of a job by train.py and test.py of the folder ``tools``.

    A training that was killed goes on from its newest checkpoint. RuntimeError if
    another process works on the job, or a step failed.
    """
    with ExitStack() as ended:
        try:
            ended.enter_context(locked(job.folder))
        except FolderInUse as error:
            raise RuntimeError(str(error)) from None
        if job.is_done:
            print(f'{job.label}: done already')
            return
        if not job.is_trained:
            folder = job.folder / 'train'
            arguments = [job.config_file, '--work-dir', folder, '--resume']
            seconds = _run_step(job, 'training', tools / 'train.py', arguments)
            job.mark('trained.json', last_attempt_seconds=round(seconds, 1))
        files = [job.config_file, job.find_checkpoint()]
        arguments = [*files, '--work-dir', job.folder / 'test', '--out']
        arguments += [job.result_file, *(['--save-masks'] if job.save_masks else [])]
        seconds = _run_step(job, 'testing', tools / 'test.py', arguments)
        job.mark('done.json', test_seconds=round(seconds, 1), host=platform.node())


def _run_step(job: Job, step: str, tool: Path, arguments: list[object]) -> float:
    """Runs a tool here, which saves importing everything twice; returns seconds."""
    if not tool.is_file():
        raise FileNotFoundError(f'{tool} does not exist')
    own, sys.argv = sys.argv, [str(tool), *map(str, arguments)]
    start = time.monotonic()
    reason = ''
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except SystemExit as end:
        if end.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            raise  # the step didn't fail, all shall end
        if isinstance(end.code, int) and end.code:
            reason = f'exit code {end.code}'
        elif end.code:
            reason = str(end.code).removeprefix(f'{tool.name}: ')
    except Exception as error:
        traceback.print_exc()
        reason = f'{type(error).__name__}: {error}'
    finally:
        sys.argv = own
        # The next tool builds a model of its own.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    if reason:
        raise RuntimeError(
            f'{job.label}: {step} failed ({tool.name}: {textwrap.shorten(reason, 400)})'
            f'; its log is {job.log_file}'
        )
    return time.monotonic() - start
