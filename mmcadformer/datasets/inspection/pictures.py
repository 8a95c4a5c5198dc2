# SPDX-License-Identifier: Apache-2.0
"""Pictures of a data set: bands, depth, values, missing pixels, orientation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.fileio import get
from tabulate import tabulate

from ...imagery import orientation, read_picture
from ...utils.files import digest
from ...utils.progress import map_tracked


@dataclass(frozen=True)
class PictureFacts:
    """What is known of a picture that can be read."""

    size: tuple[int, int]  # height, width
    digest: str  # of the pixels that training sees
    bands: int  # of the file
    depth: str  # type of the values
    value_range: tuple[float, float] | None  # lowest and highest valid value
    missing: float  # share of pixels without data
    orientation: int  # the tag, 1 if there is none
    notes: tuple[str, ...]  # of the reader

    @property
    def kind(self) -> str:
        """Bands and depth, which all pictures of a set should share."""
        return f'{self.bands} x {self.depth}'


def examine_picture(path: str, backend_args: dict | None) -> PictureFacts:
    """Reads a picture as training does.

    Raises:
        OSError, ValueError: It can't be read.
    """
    data = get(path, backend_args=backend_args)
    picture = read_picture(data, name=path)
    rgb = picture.rgb
    values = picture.value_range or (float(rgb.min()), float(rgb.max()))
    return PictureFacts(
        size=rgb.shape[:2],
        digest=pixel_digest(rgb),
        bands=picture.count,
        depth=picture.depth,
        value_range=values,
        missing=0.0 if picture.valid is None else float(1 - picture.valid.mean()),
        orientation=orientation(data),
        notes=picture.notes,
    )


def pixel_digest(pixels: np.ndarray) -> str:
    """What tells pictures, or masks, of the same pixels from others."""
    return digest(repr(pixels.shape).encode() + pixels.tobytes(), 32)


def examine_pictures(
    paths: Iterable[str],
    backend_args: dict | None,
    workers: int = 0,
    progress: bool = True,
) -> dict[str, PictureFacts]:
    """Facts of all pictures that can be read, by path."""
    jobs = [(path, backend_args) for path in dict.fromkeys(paths)]
    results = map_tracked(_examine, jobs, workers, progress)
    return {path: fact for (path, _), fact in zip(jobs, results, strict=True) if fact}


def _examine(job: tuple[str, dict | None]) -> PictureFacts | None:
    try:
        return examine_picture(*job)
    except (OSError, ValueError):  # the check names them
        return None


def odd_pictures(facts: Mapping[str, PictureFacts]) -> dict[str, list[tuple[str, str]]]:
    """Kind and text of findings, by path: what is unusual or needs a decision."""
    kinds = Counter(fact.kind for fact in facts.values())
    usual = max(kinds, key=lambda kind: kinds[kind], default='')
    found: dict[str, list[tuple[str, str]]] = {}
    for path, fact in facts.items():
        remarks = []
        if fact.kind != usual:
            remarks.append(f'it has {fact.kind}, most pictures have {usual}')
        remarks += [note for note in fact.notes if '--nodata' in note]
        if fact.missing == 1:
            remarks.append('it has no pixel with data')
        texts = [('picture', remark) for remark in remarks]
        if fact.orientation != 1:
            texts.append(
                (
                    'orientation',
                    f'its Orientation tag (EXIF) is {fact.orientation}: viewers turn '
                    'it, training takes pixels as stored, where masks should be made',
                )
            )
        if texts:
            found[path] = texts
    return found


def summarise_pictures(facts: Mapping[str, PictureFacts]) -> dict[str, Any]:
    """Numbers over all pictures, as JSON can hold them."""
    ranges = [fact.value_range for fact in facts.values() if fact.value_range]
    return dict(
        number=len(facts),
        kinds=dict(Counter(fact.kind for fact in facts.values()).most_common()),
        value_range=[min(low for low, _ in ranges), max(high for _, high in ranges)]
        if ranges
        else None,
        missing=sum(fact.missing for fact in facts.values()) / max(len(facts), 1),
        with_missing=sum(fact.missing > 0 for fact in facts.values()),
        turned=sum(fact.orientation != 1 for fact in facts.values()),
    )


def picture_table(summary: Mapping[str, Any]) -> str:
    """The summary as a table for people."""
    low, high = summary['value_range'] or ('-', '-')
    rows = [[f'bands x depth: {kind}', n] for kind, n in summary['kinds'].items()]
    rows += [
        ['lowest and highest value', f'{low:g}, {high:g}' if summary['kinds'] else '-'],
        ['share without data', f'{summary["missing"]:.2%}'],
        ['with pixels without data', summary['with_missing']],
        ['with an Orientation tag', summary['turned']],
    ]
    return tabulate(rows, ['pictures', summary['number']], tablefmt='psql')
