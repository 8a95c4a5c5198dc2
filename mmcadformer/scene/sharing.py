# SPDX-License-Identifier: Apache-2.0
"""Many scenes shared among processes that need not talk to each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar('Item')

# Launcher -> environment variables of number, count and number on the machine.
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
}


@dataclass(frozen=True)
class Share:
    """One process's part of the work.

    Args:
        rank: Number of the process, from 0.
        count: How many processes there are.
        local_rank: Number of the process among those of its machine.
    """

    rank: int
    count: int
    local_rank: int = 0

    @classmethod
    def from_launcher(cls, launcher: str) -> Share:
        """What a launcher, 'pytorch' (torchrun) or 'slurm' (srun), tells its processes.

        Raises:
            ValueError: It wasn't used.
        """
        names = _VARIABLES[launcher]
        missing = [name for name in names if not os.environ.get(name, '').isdigit()]
        if missing:
            raise ValueError(
                f'--launcher {launcher} needs {missing[0]} in the environment: start '
                f'with {"torchrun" if launcher == "pytorch" else "srun"}'
            )
        return cls(*(int(os.environ[name]) for name in names))

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is about the whole."""
        return self.rank == 0

    def of(self, items: Sequence[Item]) -> list[Item]:
        """This process's part of a sequence."""
        return list(items[self.rank :: self.count])
