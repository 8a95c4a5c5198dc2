# SPDX-License-Identifier: Apache-2.0
"""One expression, its mask compared with the truth: what metrics sum up and write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_utils
from torch import Tensor

from ..utils.files import whole_file

_FACTS = (
    *('dataset_name', 'image_id', 'ref_id', 'sent_id', 'img_path'),
    *('category', 'expression', 'kind'),
)
"""What is taken over from a data sample."""


_WRITTEN = (
    *_FACTS,
    *('intersection', 'union', 'truth_area', 'pred_area', 'height', 'width'),
)
"""What an output file holds in any case."""


class Compared(NamedTuple):
    """What is kept of one expression until all have been seen."""

    dataset_name: str
    image_id: int | str
    ref_id: int | str
    sent_id: int | str
    img_path: str
    category: str
    expression: str
    kind: str  # of the expression; '' where the data say nothing: about one object
    intersection: int
    union: int
    truth_area: int
    pred_area: int
    height: int
    width: int
    # Counts of compressed RLE; '' where masks aren't kept.
    pred_counts: str = ''
    truth_counts: str = ''
    # The decision whether there is a target, where a metric asks for it.
    found: bool = True
    score: float = 1.0
    threshold: float | None = None  # None: the mask decided

    def to_line(self, **more: Any) -> dict[str, Any]:
        """What an output file holds of it, and what is given besides."""
        line = {name: getattr(self, name) for name in _WRITTEN}
        if not self.kind:
            del line['kind']
        size = [self.height, self.width]
        counts = dict(pred_rle=self.pred_counts, truth_rle=self.truth_counts)
        masks = {
            name: dict(size=size, counts=text) for name, text in counts.items() if text
        }
        return line | more | masks


def compare(
    sample: dict, pred: Tensor, truth: Tensor, ignore_index: int, keep_masks: bool
) -> Compared:
    """Compares labels (H, W), in which 1 is the target, on one device.

    Pixels whose truth is ``ignore_index`` don't count. Facts come from the sample.
    """
    pred = (pred == 1) & (truth != ignore_index)
    truth = truth == 1
    return Compared(
        **{name: sample.get(name, '') for name in _FACTS},
        intersection=int((pred & truth).sum()),
        union=int((pred | truth).sum()),
        truth_area=int(truth.sum()),
        pred_area=int(pred.sum()),
        height=truth.shape[0],
        width=truth.shape[1],
        pred_counts=_rle_counts(pred) if keep_masks else '',
        truth_counts=_rle_counts(truth) if keep_masks else '',
    )


def write_lines(file: str | os.PathLike, lines: Iterable[dict]) -> None:
    """One line of JSON for each."""
    with whole_file(file) as path, open(path, 'wb') as stream:
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b'\n')


def grouped(
    results: Sequence[Compared], key: Callable[[Compared], str]
) -> dict[str, list[Compared]]:
    """Results by a key, in alphabetical order of its values."""
    groups: dict[str, list[Compared]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return dict(sorted(groups.items()))


def _rle_counts(mask: Tensor) -> str:
    """Compressed RLE counts of a boolean tensor (H, W)."""
    array = np.asfortranarray(mask.cpu().numpy().astype(np.uint8))
    return mask_utils.encode(array)['counts'].decode('ascii')
