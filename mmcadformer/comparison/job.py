# SPDX-License-Identifier: Apache-2.0
"""One method trained and tested with one seed, and the folder that tells its state."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..engine import check_data_roots, find_resume_checkpoint, override_data
from ..utils.config import read_config
from ..utils.files import digest, read_json, write_json

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
    """Puts everything that a job depends on into one config.

    Args:
        path: Config file.
        seed: Of every random number.
        options: Keys to override, as of ``--cfg-options``.
        data_root: Root folder of all data; None keeps the config's.
        skip_validation: Whether to leave validation out.

    Raises:
        FileNotFoundError: If the config or the data isn't there.
        ValueError: If the config tests without ReferringIoUMetric.
    """
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
    """A training and the test of what it ended with.

    Attributes:
        name: The method.
        seed: Of every random number.
        folder: Holds all files of the job, and nothing else.
        config_hash: Recognises the config.
        checkpoint: What is tested: 'best' in validation, or 'last'.
        save_masks: Whether the result file holds masks.
    """

    name: str
    seed: int
    folder: Path
    config_hash: str
    checkpoint: str = 'best'
    save_masks: bool = False

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
        """Reads a job back from its folder.

        Raises:
            FileNotFoundError: If the folder holds none.
        """
        file = folder / 'job.json'
        if not file.is_file():
            raise FileNotFoundError(f'{folder} holds no job: {file} does not exist')
        record = read_json(file)
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
        """Describes a job with a config of :func:`prepare_config`; nothing is written.

        Raises:
            ValueError: If there will be no best checkpoint to test.
        """
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
        """Makes the folder, or makes sure that it belongs to the same config.

        Args:
            cfg: The config of :meth:`plan`.
            overwrite: Whether to delete what another config left in the folder.

        Raises:
            ValueError: If the folder belongs to a job with another config.
        """
        content = _relevant_part(cfg)
        file = self.folder / 'job.json'
        record = read_json(file) if file.is_file() else None
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
        mark = read_json(path) if path.is_file() else None
        return mark if mark and mark['config_hash'] == self.config_hash else None

    def find_checkpoint(self) -> Path:
        """The checkpoint to test.

        Raises:
            FileNotFoundError: If training left none.
        """
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
