# SPDX-License-Identifier: Apache-2.0
"""What results may replace: results of the same scene, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from .vectors import FORMATS


class Outputs:
    """Names of the files of a run.

    Args:
        folder: Where they go.
        stem: How they begin.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self.stem = folder, stem

    @property
    def summary(self) -> Path:
        """Written last."""
        return self.folder / f'{self.stem}.json'

    @property
    def workspace(self) -> Path:
        """Folder of an unfinished run."""
        return self.folder / f'{self.stem}.work'

    def check(
        self, scene: str, inputs: Iterable[str | Path], formats: Sequence[str]
    ) -> None:
        """Looks for files that a run would destroy.

        Args:
            scene: What the summary calls the scene.
            inputs: Files that the run reads.
            formats: Of the polygons, keys of ``FORMATS``.

        Raises:
            ValueError: If there is one.
        """
        files = [self.folder / f'{self.stem}{FORMATS[name][1]}' for name in formats]
        files = [file for file in [self.summary, *files] if file.exists()]
        for file in files:
            for source in map(Path, inputs):
                if source.exists() and file.samefile(source):
                    raise ValueError(
                        f'{file} is read by this run and would be replaced by its '
                        'results: choose another output folder'
                    )
        if files and not self.workspace.exists() and self._scene() != scene:
            raise ValueError(
                f'{files[0]} would be replaced, and comes from something else than an '
                f'earlier run on {scene}: choose another output folder'
            )

    def files(self) -> list[str]:
        """Names of the files that the summary lists, and that are there."""
        summary = self._read_summary()
        names = list(summary.get('polygons', []))
        for record in summary.get('expressions', []):
            names += [
                record[kind] for kind in ('mask', 'probability') if kind in record
            ]
        return [name for name in names if (self.folder / name).exists()]

    def _scene(self) -> str | None:
        """Of which scene results are there, if any."""
        return self._read_summary().get('scene')

    def _read_summary(self) -> dict:
        """Empty if there is none, or it is something else."""
        try:
            summary = json.loads(self.summary.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return {}
        return summary if isinstance(summary, dict) else {}
