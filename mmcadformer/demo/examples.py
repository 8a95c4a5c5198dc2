# SPDX-License-Identifier: Apache-2.0
"""Pictures and sentences to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np

from ..synthrs import make_scene
from ..utils.image_files import IMAGE_SUFFIXES
from ..utils.plain_data import parse_json, read_lines

_DRAWN, _DRAWN_SIZE, _DRAWN_SEED = 6, 256, 2025


@dataclass(frozen=True)
class Example:
    """A picture, and the sentences that are offered for it, if any."""

    path: Path
    sentences: tuple[str, ...]


def find_examples(source: Path | None, folder: Path) -> list[Example]:
    """The examples of the page; by default SynthRS scenes, drawn in ``folder``.

    The source is a folder of pictures, each with its sentences, if any, in a text file
    of the same name, one a line; or a ``.jsonl`` file with ``image`` and ``expression``
    or ``expressions`` per line, paths relative to the file.
    """
    if source is None:
        return draw_examples(folder)
    if source.is_dir():
        examples = [
            Example(path, _sentences_beside(path))
            for path in sorted(source.iterdir())
            if path.suffix.lower() in IMAGE_SUFFIXES
        ]
    elif source.is_file():
        examples = _read_list(source)
    else:
        raise FileNotFoundError(f'examples {source}: no such folder or file')
    if not examples:
        raise ValueError(f'examples {source}: there is no picture in it')
    return examples


def draw_examples(folder: Path) -> list[Example]:
    """Draws SynthRS scenes that the quickstart's training has not seen."""
    examples = []
    for number in range(_DRAWN):
        rng = np.random.default_rng([_DRAWN_SEED, number])
        scene = make_scene(rng, _DRAWN_SIZE, 'starter')
        path = folder / f'scene_{number + 1}.png'
        mmcv.imwrite(mmcv.rgb2bgr(scene.image), str(path))
        # One sentence per object.
        texts = [sentences[0]['text'] for _, sentences in scene.refs]
        examples.append(Example(path, tuple(texts)))
    return examples


def _sentences_beside(picture: Path) -> tuple[str, ...]:
    file = picture.with_suffix('.txt')
    if not file.is_file():
        return ()
    return tuple(line.strip() for _, line in read_lines(file))


def _read_list(file: Path) -> list[Example]:
    sentences: dict[Path, list[str]] = {}
    for number, line in read_lines(file):
        try:
            entry = parse_json(line)
            path = file.parent / entry['image']
            texts = entry.get('expressions') or [entry['expression']]
            sentences.setdefault(path, []).extend(map(str.strip, texts))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(
                f'{file}, line {number}: expected {{"image": ..., "expression": ...}}'
            ) from None
        if not path.is_file():
            raise FileNotFoundError(f'{file}, line {number}: no picture {path}')
    return [Example(path, tuple(texts)) for path, texts in sentences.items()]
