# SPDX-License-Identifier: Apache-2.0
"""Which word pulled which region: the attention between words and pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from torch import Tensor, nn

from ..models import ReferringSegmentor
from ..models.fusions.base import WordAttention
from ..utils.files import whole_file, write_picture
from .result import ReferringResult

_NOTHING = 'this model has no attention between words and pixels to show'
Words = Sequence[tuple[str, list[int]]]  # and the positions of their tokens


@dataclass
class StageAttention:
    """Attention at one stage of the encoder, as float32 maps (words, h, w).

    A map is None where the model has no such part. The image takes ``image_share`` of
    their height and width, from the upper left corner; the rest is what the network
    pads where a side is not a multiple of its cells.
    """

    stage: int  # from 1, the finest
    # The share of a pixel's attention that goes to the word, 1 over all words: the
    # similarity of language-guided vision alignment, Eq. (1) of the paper.
    pixels_to_words: np.ndarray | None
    # The share of a word's attention that goes to the pixel, 1 over all pixels, of
    # vision-guided language alignment, Eq. (6).
    words_to_pixels: np.ndarray | None
    image_share: tuple[float, float] = (1.0, 1.0)


@dataclass
class Explanation:
    """A result and the attention that led to it."""

    result: ReferringResult
    words: list[str]  # between the tokenizer's marks of begin and end
    stages: list[StageAttention]

    @property
    def image_path(self) -> str | None:
        """Where the image came from; None for arrays."""
        return self.result.image_path

    def picture(self) -> np.ndarray:
        """Overlay, and a grid of heat maps: stages down, words across; RGB uint8."""
        # With all that matplotlib draws with, which no other result needs.
        from ..visualization.attention import AttentionRow, draw_word_attention

        rows = [
            AttentionRow(f'stage {stage.stage}\n{title}', maps, stage.image_share)
            for stage in self.stages
            for title, maps in (
                ('pixels → words', stage.pixels_to_words),
                ('words → pixels', stage.words_to_pixels),
            )
            if maps is not None
        ]
        result = self.result
        return draw_word_attention(result.image, result.overlay(), self.words, rows)

    def save(self, out_dir: str | os.PathLike, name: str) -> dict:
        """Writes the result's files, ``<name>_attention.png`` and ``.npz``.

        Returns the result's record, with their names as ``attention`` and
        ``attention_data``.
        """
        record = self.result.save(out_dir, name)
        record['attention'] = f'{name}_attention.png'
        record['attention_data'] = f'{name}_attention.npz'
        picture = mmcv.rgb2bgr(self.picture())
        write_picture(Path(out_dir) / record['attention'], picture)
        maps = {
            f'stage{entry.stage}_{kind}': getattr(entry, kind)
            for entry in self.stages
            for kind in ('pixels_to_words', 'words_to_pixels')
            if getattr(entry, kind) is not None
        }
        path = Path(out_dir) / record['attention_data']
        with whole_file(path) as unfinished, unfinished.open('wb') as file:
            np.savez_compressed(file, words=np.array(self.words), **maps)
        return record


@contextmanager
def record_attention(
    model: ReferringSegmentor, words: Words
) -> Iterator[list[StageAttention]]:
    """Notes the attention of every stage while a model runs inside the block.

    Yields:
        A list that has one entry per stage after a forward pass, of its first
        sample; those of a second pass take their place.

    Raises:
        ValueError: If the model has no such attention.
    """
    attention_of, cells = _fusions_and_cells(model.backbone)
    stages: list[StageAttention] = []
    image_size = (0, 0)

    def note_size(_: nn.Module, args: tuple) -> None:
        nonlocal image_size
        # Before it, and later the backbone, pad below and on the right.
        image_size = args[0]['inputs'][0].shape[-2:]

    def note(fusion: nn.Module, args: tuple) -> None:
        visual, size, text, text_mask = args
        if len(stages) == len(cells):
            stages.clear()
        to_words, to_pixels = attention_of[fusion](visual, text, text_mask)
        rows, columns = cells[len(stages)]
        stage = StageAttention(
            stage=len(stages) + 1,
            # The pieces of a word share what the word gets.
            pixels_to_words=_maps(to_words, words, size, torch.sum, tokens_at=2),
            words_to_pixels=_maps(to_pixels, words, size, torch.mean, tokens_at=1),
            image_share=(
                image_size[0] / (size[0] * rows),
                image_size[1] / (size[1] * columns),
            ),
        )
        stages.append(stage)

    handles = [fusion.register_forward_pre_hook(note) for fusion in attention_of]
    handles.append(model.data_preprocessor.register_forward_pre_hook(note_size))
    try:
        yield stages
    finally:
        for handle in handles:
            handle.remove()
    if all(s.pixels_to_words is None and s.words_to_pixels is None for s in stages):
        raise ValueError(
            f"{_NOTHING} (its backbone's fusions have neither pixels_to_words nor "
            'words_to_pixels)'
        )


def _fusions_and_cells(
    backbone: Any,
) -> tuple[dict[nn.Module, Callable[..., WordAttention]], list[tuple[int, int]]]:
    """Each stage's fusion, and height and width in pixels of its positions."""
    try:
        fusions = {fusion: fusion.word_attention for fusion in backbone.fusions}
        return fusions, list(backbone.strides)
    except AttributeError as error:
        raise ValueError(
            f'{_NOTHING}: its backbone is not built as those of this package ({error})'
        ) from None


def _maps(
    attention: Tensor | None,
    words: Words,
    size: tuple[int, int],
    merge: Callable[..., Tensor],
    tokens_at: int,
) -> np.ndarray | None:
    """From tokens and h * w positions of the first sample to (words, h, w)."""
    if attention is None:
        return None
    tokens = attention.movedim(tokens_at, 1)[0]
    merged = [merge(tokens[positions], dim=0) for _, positions in words]
    return torch.stack(merged).unflatten(1, size).float().cpu().numpy()
