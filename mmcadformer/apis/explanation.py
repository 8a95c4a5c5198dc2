# SPDX-License-Identifier: Apache-2.0
"""Which word pulled which region: the attention between words and pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import mmcv
import numpy as np
import torch
from torch import Tensor, nn

from ..models.fusions.base import WordAttention
from ..visualization.attention import AttentionRow, draw_word_attention
from .result import ReferringResult


@dataclass
class StageAttention:
    """Attention at one stage of the encoder, as one map per word.

    Attributes:
        stage: From 1, the finest.
        pixels_to_words: Float32 (words, h, w): the share of a pixel's attention that
            goes to the word. Over all words the shares of a pixel add up to 1. The
            similarity of language-guided vision alignment, Eq. (1) of the paper.
            None where the model has no such part.
        words_to_pixels: Float32 (words, h, w): the share of a word's attention that
            goes to the pixel. Over all pixels the shares of a word add up to 1. The
            reverse, of vision-guided language alignment, Eq. (6). None where the
            model has no such part.
        image_share: Of the maps' height and width, what the image takes, from the
            upper left corner. The rest is what the network pads where a side is no
            multiple of its cells.
    """

    stage: int
    pixels_to_words: np.ndarray | None
    words_to_pixels: np.ndarray | None
    image_share: tuple[float, float] = (1.0, 1.0)


@dataclass
class Explanation:
    """A result and the attention that led to it.

    Attributes:
        result: Mask, probability, score...
        words: The expression's words, between the tokenizer's marks of begin and end.
        stages: One entry per stage of the encoder.
    """

    result: ReferringResult
    words: list[str]
    stages: list[StageAttention]

    @property
    def image_path(self) -> str | None:
        """Where the image came from; None for arrays."""
        return self.result.image_path

    def picture(self) -> np.ndarray:
        """Overlay, and a grid of heat maps: stages down, words across; RGB uint8."""
        rows = []
        for entry in self.stages:
            rows += [
                AttentionRow(f'stage {entry.stage}\n{title}', maps, entry.image_share)
                for title, maps in (
                    ('pixels → words', entry.pixels_to_words),
                    ('words → pixels', entry.words_to_pixels),
                )
                if maps is not None
            ]
        result = self.result
        return draw_word_attention(result.image, result.overlay(), self.words, rows)

    def save(self, out_dir: str | os.PathLike, name: str) -> dict:
        """Writes the result's files, ``<name>_attention.png`` and ``.npz``.

        Args:
            out_dir: Folder, made if needed.
            name: Start of the file names.

        Returns:
            The result's record, with the names of the two files as ``attention`` and
            ``attention_data``.
        """
        record = self.result.save(out_dir, name)
        record['attention'] = f'{name}_attention.png'
        record['attention_data'] = f'{name}_attention.npz'
        picture = mmcv.rgb2bgr(self.picture())
        mmcv.imwrite(picture, str(Path(out_dir) / record['attention']))
        maps = {
            f'stage{entry.stage}_{kind}': getattr(entry, kind)
            for entry in self.stages
            for kind in ('pixels_to_words', 'words_to_pixels')
            if getattr(entry, kind) is not None
        }
        path = Path(out_dir) / record['attention_data']
        np.savez_compressed(path, words=np.array(self.words), **maps)
        return record


class RecordedStage(NamedTuple):
    """Attention of a forward pass at one stage.

    Attributes:
        attention: Per token.
        size: (h, w) of the maps.
        image_share: See :class:`StageAttention`.
    """

    attention: WordAttention
    size: tuple[int, int]
    image_share: tuple[float, float]


class AttentionRecorder:
    """Notes the attention of every stage while a model runs; used in ``with``.

    Args:
        model: A referring segmentor.

    Attributes:
        stages: Of the last forward pass, one entry per stage.
    """

    def __init__(self, model: nn.Module) -> None:
        self._preprocessor = model.data_preprocessor
        self._fusions = model.backbone.fusions
        self._cells = _cell_sizes(model.backbone)
        self._image_size = (0, 0)
        self._handles: list = []
        self.stages: list[RecordedStage] = []

    def __enter__(self) -> AttentionRecorder:
        self._handles = [f.register_forward_pre_hook(self._note) for f in self._fusions]
        self._handles.append(
            self._preprocessor.register_forward_pre_hook(self._note_size)
        )
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _note_size(self, _: nn.Module, args: tuple) -> None:
        # Before it, and later the backbone, pad below and on the right.
        self._image_size = tuple(args[0]['inputs'][0].shape[-2:])

    def _note(self, fusion: nn.Module, args: tuple) -> None:
        visual, hw_shape, text, text_mask = args
        if fusion is self._fusions[0]:
            self.stages = []
        cell = self._cells[len(self.stages)]
        share = tuple(
            pixels / (cells * pitch)
            for pixels, cells, pitch in zip(
                self._image_size, hw_shape, cell, strict=True
            )
        )
        attention = fusion.word_attention(visual, text, text_mask)
        self.stages.append(RecordedStage(attention, tuple(hw_shape), share))


def _cell_sizes(backbone: nn.Module) -> list[tuple[int, int]]:
    """Height and width in pixels of a position, for each stage."""
    rows, columns = backbone.patch_embed.projection.stride
    cells = [(rows, columns)]
    for stage in list(backbone.stages)[:-1]:
        by = stage.downsample.sampler.stride
        by = (by, by) if isinstance(by, int) else by
        cells.append((cells[-1][0] * by[0], cells[-1][1] * by[1]))
    return cells


def attention_per_word(
    stages: Sequence[RecordedStage],
    words: Sequence[tuple[str, list[int]]],
) -> list[StageAttention]:
    """From attention per token to attention per word.

    Args:
        stages: From an :class:`AttentionRecorder`; the first sample counts.
        words: Words and the positions of their tokens.

    Returns:
        One entry per stage.

    Raises:
        ValueError: If there is no attention at any stage.
    """
    found = []
    for number, (attention, size, share) in enumerate(stages, start=1):
        to_words, to_pixels = attention
        if to_words is not None:
            # The pieces of a word share what the word gets.
            to_words = _maps(to_words[0].transpose(0, 1), words, size, torch.sum)
        if to_pixels is not None:
            to_pixels = _maps(to_pixels[0], words, size, torch.mean)
        found.append(StageAttention(number, to_words, to_pixels, share))
    if all(s.pixels_to_words is None and s.words_to_pixels is None for s in found):
        raise ValueError(
            'this model has no attention between words and pixels to show (its '
            "backbone's fusions have neither pixels_to_words nor words_to_pixels)"
        )
    return found


def _maps(
    tokens: Tensor, words: Sequence[tuple[str, list[int]]], size: tuple, merge
) -> np.ndarray:
    """From (tokens, h * w) to (words, h, w)."""
    merged = [merge(tokens[positions], dim=0) for _, positions in words]
    return torch.stack(merged).unflatten(1, size).float().cpu().numpy()
