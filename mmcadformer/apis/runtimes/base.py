# SPDX-License-Identifier: Apache-2.0
"""What every program that runs exported files is used by."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

INPUTS = ('image', 'input_ids', 'text_mask')


class Runtime(ABC):
    """Runs one exported file on this machine's processor.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: It, or a file that belongs to it, doesn't exist.
        ImportError: The program that runs it isn't installed.
        ValueError: It is damaged, or something else.
    """

    name: str  # as ``--runtime`` calls it
    program: str  # as its makers call it

    def __init__(self, path: Path) -> None:
        self.path = path
        for file in self.files():
            if not file.is_file():
                raise FileNotFoundError(f'{file} does not exist')
        with self._reading():
            self._open()

    @abstractmethod
    def _open(self) -> None:
        """Reads the file; may raise anything."""

    @abstractmethod
    def text(self, name: str) -> str:
        """A text inside the file: 'metadata.json' or 'tokenizer.json'."""

    @abstractmethod
    def check_amp(self, amp: str | None) -> None:
        """Raises ValueError for a type of ``AMP_TYPES`` that it doesn't compute in."""

    @abstractmethod
    def __call__(
        self,
        image: Tensor,
        input_ids: Tensor,
        text_mask: Tensor,
        amp: str | None = None,
    ) -> list[Tensor]:
        """Probability of the target (B, H, W) and, with a presence head, of one (B,).

        Args:
            image: RGB, 0...255, float32 (B, 3, H, W).
            input_ids: Int64 (B, N).
            text_mask: Bool (B, N), or (B, 3, N) for masks of phrases.
            amp: Type to compute in, of ``AMP_TYPES``; None for float32.
        """

    def files(self) -> list[Path]:
        """All files that are read."""
        return [self.path]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the file says of itself, see docs/export.md."""
        with self._reading():
            facts = json.loads(self.text('metadata.json'))
        if 'pipeline' not in facts:
            raise ValueError(
                f'{self.path} was exported by an older version, and does not say how '
                'pictures are prepared: export it again'
            )
        return facts

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Names the file in an error, of which every library has its own."""
        try:
            yield
        except ImportError:
            raise
        except Exception as error:
            reason = f'{type(error).__name__}: {" ".join(str(error).split())[:200]}'
            raise ValueError(
                f'{self.path} can not be read as a file of tools/export.py ({reason})'
            ) from error


def pad_tokens(
    input_ids: Tensor, text_mask: Tensor, length: int, pad_id: int
) -> tuple[Tensor, Tensor]:
    """Ids (B, N) and their mask with as many tokens as are wanted."""
    more = (0, length - input_ids.shape[1])
    return F.pad(input_ids, more, value=pad_id), F.pad(text_mask, more)
