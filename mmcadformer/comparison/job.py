# SPDX-License-Identifier: Apache-2.0
"""One method trained and tested with one seed, and the folder that tells its state."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mmengine.config import Config

from mmcadformer.engine import find_resume_checkpoint

from .job_config import differing_keys, fingerprint, relevant_part, selects_best

CHECKPOINTS = ('best', 'last')


@dataclass(frozen=True)
class Job:
    """A training and the test of what it ended with.

    Attributes:
        name: The method.
        seed: Of every random number.
        folder: Holds all files of the job, and nothing else.
        config_hash: Recognises the config, see :func:`fingerprint`.
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
        record = json.loads(file.read_text(encoding='utf-8'))
        record.pop('config')
        return cls(folder=folder, **record)

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
        """Describes a job; nothing is written.

        Args:
            name, seed, folder, checkpoint, save_masks: See the class.
            cfg: What :func:`prepare_config` returned.

        Raises:
            ValueError: If there will be no best checkpoint to test.
        """
        if checkpoint == 'best' and not selects_best(cfg):
            raise ValueError(
                f'{name}: the best checkpoint is wanted, but the config has no '
                'validation or no default_hooks.checkpoint.save_best; test the last '
                'one (--checkpoint last) or configure both'
            )
        config_hash = fingerprint(relevant_part(cfg))
        return cls(name, seed, folder, config_hash, checkpoint, save_masks)

    def prepare(self, cfg: Config, overwrite: bool = False) -> None:
        """Makes the folder, or makes sure that it belongs to the same config.

        Args:
            cfg: The config of :meth:`plan`.
            overwrite: Whether to delete what another config left in the folder.

        Raises:
            ValueError: If the folder belongs to a job with another config.
        """
        content = relevant_part(cfg)
        file = self.folder / 'job.json'
        if file.is_file():
            record = json.loads(file.read_text(encoding='utf-8'))
            if record['config_hash'] != self.config_hash:
                if not overwrite:
                    raise ValueError(self._conflict(record['config'], content))
                shutil.rmtree(self.folder)
        if not self.config_file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            cfg.dump(self.config_file)
        record = {key: getattr(self, key) for key in _RECORDED}
        write_json(file, dict(record, config=content))

    def _conflict(self, old: dict, new: dict) -> str:
        keys = list(islice(differing_keys(old, new), 6))
        return (
            f'{self.folder} belongs to a run with another config, which differs in '
            f'{", ".join(keys)}. Choose another --out-dir, or delete that run by '
            '--overwrite'
        )

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

    def mark(self, file: str, **facts) -> None:
        """Records that a step came to its end.

        Args:
            file: 'trained.json' or 'done.json'.
            **facts: What else is worth knowing.
        """
        own = {key: getattr(self, key) for key in _RECORDED}
        write_json(self.folder / file, {**own, **facts})

    def _read_mark(self, file: str) -> dict | None:
        """A mark, unless it is missing or was made with another config."""
        path = self.folder / file
        if not path.is_file():
            return None
        mark = json.loads(path.read_text(encoding='utf-8'))
        return mark if mark['config_hash'] == self.config_hash else None

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


def write_json(path: Path, content: dict) -> None:
    """Writes a file that is either whole or not there."""
    part = path.with_name(path.name + '.part')
    part.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
    part.replace(path)


_RECORDED = ('name', 'seed', 'config_hash', 'checkpoint', 'save_masks')
