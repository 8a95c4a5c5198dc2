# SPDX-License-Identifier: Apache-2.0
"""Whether the object that an expression names occurs in a tile at all.

Referring models learn from images in which the object is always there, so they
point at something in any tile. What they point at where nothing fits is usually less
probable, which one threshold per model can tell.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np

# Share of a tile's pixels that the score looks at: 115 of 480 x 480.
TOP_SHARE = 0.0005
DEFINITION = (
    f'mean of the {TOP_SHARE:%} highest probabilities among the pixels with data '
    'of a tile'
)


def presence_score(probabilities: np.ndarray, valid: np.ndarray) -> float:
    """How sure the network is that the object is in a tile: ``DEFINITION``.

    A single bright pixel doesn't decide, and neither does the object's size.

    Args:
        probabilities: (H, W), 0...1.
        valid: Bool (H, W), True where the scene has data.

    Returns:
        0...1; 0 without any data.
    """
    values = probabilities[valid]
    if not values.size:
        return 0.0
    count = min(values.size, max(1, round(TOP_SHARE * probabilities.size)))
    top = np.partition(values, values.size - count)[values.size - count :]
    return float(top.mean(dtype=np.float64))


def read_presence(source: float | str | os.PathLike | None) -> tuple[float, dict]:
    """The threshold that a user names.

    Args:
        source: A number 0...1, a file of ``tools/analysis/calibrate_presence.py``,
            or None for no gate.

    Returns:
        Tiles with a lower score are left out, 0 leaves none out; and all that the
        file says, or an empty dict.

    Raises:
        FileNotFoundError: If it is neither a number nor an existing file.
        ValueError: If the file has another content, or the number is out of range.
    """
    if source is None:
        return 0.0, {}
    content: dict = {}
    try:
        value = float(source)
    except (TypeError, ValueError):
        content = _read_calibration(Path(source))
        value = content['threshold']
    if not 0 <= value <= 1 or not math.isfinite(value):
        raise ValueError(f'presence threshold {value} is out of range: 0...1')
    return value, content


def _read_calibration(file: Path) -> dict:
    if not file.is_file():
        raise FileNotFoundError(
            f'presence {str(file)!r} is neither a number nor an existing file; make '
            'one with tools/analysis/calibrate_presence.py'
        )
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        content['threshold'] = float(content['threshold'])
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f'{file} has no threshold: it must be a file of '
            'tools/analysis/calibrate_presence.py'
        ) from None
    if content.get('score') != DEFINITION:
        raise ValueError(f'{file} was made for another presence score: calibrate again')
    return content
