# SPDX-License-Identifier: Apache-2.0
"""What a model found for one sentence on one image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np

from ..evaluation.presence import Decision
from ..utils.files import write_json, write_picture
from ..visualization import draw_referring_overlay


@dataclass
class ReferringResult:
    """What the model found for one expression on one image.

    ``score`` is the mean probability inside the mask, 0 if that is empty: a measure of
    confidence, not calibrated.
    """

    expression: str
    mask: np.ndarray  # bool (H, W), True on the object, at the image's own size
    probability: np.ndarray  # float32 (H, W), the confidence per pixel, 0...1
    score: float
    image: np.ndarray  # RGB uint8 (H, W, 3)
    image_path: str | None = None  # None for arrays
    notes: tuple[str, ...] = ()  # how the picture was read, where that isn't obvious
    # The part of the sentence that was read, where it was longer than the text
    # encoder's max_tokens and the rest was cut off.
    read: str | None = None
    # Of the network: 'float32', or 'bf16' or 'fp16' for mixed precision.
    precision: str = 'float32'
    # What a model with a presence head decided: without a target the mask is empty.
    presence: Decision | None = None

    def overlay(self) -> np.ndarray:
        """Draws the mask and the sentence, or that there is nothing, as RGB uint8."""
        absence = self.presence.absence() if self.presence is not None else ''
        return draw_referring_overlay(
            self.image,
            self.expression,
            None if absence else self.mask,
            score=None if absence else self.score,
            remark=absence,
        )

    def record(self) -> dict:
        """Facts for JSON: image, expression, score, area and box in pixels.

        ``read`` is the part of an expression that was cut, otherwise None. The box is
        [left, top, right, bottom] with right and bottom exclusive, or None for an
        empty mask.
        """
        rows, columns = np.nonzero(self.mask.any(1))[0], np.nonzero(self.mask.any(0))[0]
        box = None
        if len(rows):
            box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            box = [int(value) for value in box]
        return dict(
            image=self.image_path,
            expression=self.expression,
            read=self.read,
            score=round(self.score, 6),
            area=int(self.mask.sum()),
            box=box,
            height=self.mask.shape[0],
            width=self.mask.shape[1],
            precision=self.precision,
            **(dict(notes=list(self.notes)) if self.notes else {}),
            **self._presence_record(),
        )

    def _presence_record(self) -> dict:
        """The presence head's score, its threshold and the decision, if there is one.

        So that the record of a model without such a head stays as it was.
        """
        if self.presence is None:
            return {}
        found, score, threshold = self.presence
        facts = dict(score=round(score, 6), threshold=threshold, found=found)
        return dict(presence=facts)

    def save(self, out_dir: str | os.PathLike, name: str) -> dict:
        """Writes ``<name>_overlay.png``, ``<name>_mask.png`` and ``<name>.json``.

        The mask is 8 bit with 255 on the object. Returns the record, with the names of
        both pictures.
        """
        folder = Path(out_dir)
        record = self.record()
        pictures = dict(
            overlay=self.overlay(), mask=self.mask.astype(np.uint8) * np.uint8(255)
        )
        for kind, picture in pictures.items():
            record[kind] = f'{name}_{kind}.png'
            if picture.ndim == 3:
                picture = mmcv.rgb2bgr(picture)
            write_picture(folder / record[kind], picture)
        write_json(folder / f'{name}.json', record)
        return record
