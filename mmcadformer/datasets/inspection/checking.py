# SPDX-License-Identifier: Apache-2.0
"""Check of a whole data set: annotations, images, masks; and what it found."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tabulate import tabulate

from ...utils.files import write_text
from ...utils.plain_data import shorten
from ...utils.progress import map_tracked
from ..masks import files_in, load_mask
from ..records import KINDS, WARNINGS, AnnotationError, Record, files_of
from ..targets import ONE, kind_of, target_key
from .pictures import (
    PictureFacts,
    examine_picture,
    odd_pictures,
    picture_table,
    pixel_digest,
    summarise_pictures,
)
from .provenance import provenance_notes
from .sources import read_whole
from .suspicion import ambiguous_expressions

if TYPE_CHECKING:
    from ..referring_dataset import BaseReferringDataset

# A larger part of the image is more often the background, marked by mistake.
_LARGEST_SHARE = 0.5


class CheckReport:
    """Findings of a check in the order they were made, and what was looked at."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[AnnotationError] = []
        self.counts: dict[str, int] = {}
        self.pictures: dict[str, Any] | None = None
        self.notes = provenance_notes(name)

    @property
    def errors(self) -> list[AnnotationError]:
        return [error for error in self.findings if error.kind not in WARNINGS]

    @property
    def warnings(self) -> list[AnnotationError]:
        return [error for error in self.findings if error.kind in WARNINGS]

    def passed(self, strict: bool = False) -> bool:
        """Whether there are no errors; if strict, no warnings either."""
        return not (self.findings if strict else self.errors)

    def ids_to_leave_out(self, strict: bool = False) -> list[str]:
        """Ids that ``exclude_file`` should name; if strict, also those of warnings."""
        findings = self.findings if strict else self.errors
        ids = (str(e.ref_id) for e in findings if e.ref_id is not None)
        return list(dict.fromkeys(ids))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        return dict(
            format='mmcadformer-check',
            version=1,
            dataset=self.name,
            passed=self.passed(),
            num_errors=len(self.errors),
            num_warnings=len(self.warnings),
            counts=self.counts,
            pictures=self.pictures,
            notes=self.notes,
            kinds=dict(Counter(error.kind for error in self.findings)),
            findings=[
                dict(
                    kind=error.kind,
                    severity='warning' if error.kind in WARNINGS else 'error',
                    ref_id=error.ref_id,
                    message=str(error),
                )
                for error in self.findings
            ],
        )

    def to_text(self, examples: int = 3) -> str:
        """Table of kinds, with up to so many examples of each."""
        counts = ', '.join(f'{n} {what}' for what, n in self.counts.items())
        lines = [f'{self.name}: {counts}' if counts else self.name]
        lines += [f'note: {note}' for note in self.notes]
        if self.pictures is not None:
            lines.append(picture_table(self.pictures))
        found = {
            kind: [error for error in self.findings if error.kind == kind]
            for kind in KINDS
        }
        rows = [
            ['warning' if kind in WARNINGS else 'ERROR', KINDS[kind], len(errors)]
            for kind, errors in found.items()
            if errors
        ]
        if rows:
            lines.append(tabulate(rows, ['', 'found', 'number'], tablefmt='psql'))
        for kind, errors in found.items():
            lines += [f'{kind}: {error}' for error in errors[:examples]]
            if len(errors) > examples:
                lines.append(f'{kind}: ... {len(errors) - examples} more')
        lines.append(f'{len(self.errors)} errors, {len(self.warnings)} warnings')
        return '\n'.join(lines)

    def write_fix_list(
        self, path: str | os.PathLike, strict: bool = False, keep: Iterable[str] = ()
    ) -> int:
        """Writes an ``exclude_file`` and returns the number of ids in it.

        It is text, or a JSON list if the name ends so; ValueError where an id can't be
        a line of text. ``keep`` are ids that are left out already and stay so.
        """
        ids = [*sorted(keep), *self.ids_to_leave_out(strict)]
        if str(path).endswith('.json'):
            write_text(path, json.dumps(ids, indent=1) + '\n')
            return len(ids)
        for ref_id in ids:
            if '#' in ref_id or ref_id != ref_id.strip() or '\n' in ref_id:
                raise ValueError(
                    f'the id {shorten(ref_id)} can not be a line of text: give the '
                    f'list '
                    'a name that ends in .json'
                )
        reasons = {str(e.ref_id): e.kind for e in reversed(self.findings)}
        lines = [f'{i}  # {reasons.get(i, "left out before")}\n' for i in ids]
        write_text(path, ''.join(lines))
        return len(ids)


class Finding(NamedTuple):
    """What was found of a file."""

    kind: str | None = None  # of the damage
    text: str = ''  # what is wrong
    fingerprint: str | None = None  # of what can be used


def check_dataset(
    dataset: BaseReferringDataset,
    excluded: Collection[str] = frozenset(),
    images: bool = True,
    workers: int = 0,
    progress: bool = True,
) -> CheckReport:
    """Looks at everything in a data set: all splits, every image, every mask.

    Without ``images``, only annotations are read, which takes seconds, and images are
    told apart by their names. ``excluded`` are ids that are left out.
    """
    report = CheckReport(dataset.name)
    try:
        objects = read_whole(dataset, report.findings.append, excluded)
    except (OSError, ValueError) as error:
        # Nothing can be said about entries of a file that can't be read.
        report.findings.append(AnnotationError('file', str(error)))
        return report
    report.counts = _count(objects)
    # Fingerprints of intact images by path, and of intact masks by record.
    digests: dict[str | int, str | None] = {}
    if images:
        groups = defaultdict(list)
        for obj in objects:
            groups[obj['img_path']].append(obj)
        jobs = [(path, group, dataset.backend_args) for path, group in groups.items()]
        results = map_tracked(_check_image, jobs, workers, progress)
        facts: dict[str, PictureFacts] = {}
        for (path, group), (image, masks) in zip(groups.items(), results, strict=True):
            if isinstance(image, PictureFacts):
                facts[path], digests[path] = image, image.digest
            for obj, mask in zip(group, masks, strict=True):
                digests[id(obj)] = mask.fingerprint
                if isinstance(image, str):
                    report.findings.append(_error('image', path, obj, f': {image}'))
                if mask.kind:
                    report.findings.append(
                        _error(mask.kind, path, obj, f': {mask.text}')
                    )
        for path, remarks in odd_pictures(facts).items():
            report.findings += [
                _error(kind, path, groups[path][0], f': {text}')
                for kind, text in remarks
            ]
        report.pictures = summarise_pictures(facts)
    else:
        missing = set(dataset.missing_files(objects))
        for obj in objects:
            for kind, path in files_of(obj):
                if path in missing:
                    report.findings.append(_error(kind, path, obj, ' does not exist'))

    def image_key(obj: Record) -> object:
        return digests.get(obj['img_path']) or obj['img_path']

    def mask_key(obj: Record) -> object:
        return digests.get(id(obj)) or target_key(obj)

    report.findings += leaks(objects, image_key)
    report.findings += ambiguous_expressions(objects, image_key, mask_key)
    return report


def _error(kind: str, path: str, obj: Record, text: str) -> AnnotationError:
    return AnnotationError(
        kind, f'{path} (ref_id {shorten(obj["ref_id"])}){text}', obj['ref_id']
    )


def leaks(
    objects: Iterable[Record], image_key: Callable[[Record], object]
) -> list[AnnotationError]:
    """Objects of all splits whose image is in another split too, which should keep it.

    Test keeps an image before validation, validation before training.
    """
    groups = defaultdict(list)
    for obj in objects:
        groups[image_key(obj)].append(obj)
    found = []
    for group in groups.values():
        keeper = max(group, key=lambda obj: _protection(obj['split']))
        for obj in group:
            if obj['split'] != keeper['split']:
                found.append(
                    AnnotationError(
                        'leakage',
                        f'{obj["img_path"]} (ref_id {shorten(obj["ref_id"])}, split '
                        f'{shorten(obj["split"])}) is the same image as '
                        f'{keeper["img_path"]} of the split {shorten(keeper["split"])}',
                        obj['ref_id'],
                    )
                )
    return found


def _protection(split: str) -> tuple[int, str]:
    ranks = [rank for rank, part in enumerate(('val', 'test'), 1) if part in split]
    return max(ranks, default=0), split


def _count(objects: Sequence[Record]) -> dict[str, int]:
    splits = Counter(obj['split'] for obj in objects)
    kinds = Counter[str]()
    for obj in objects:
        kinds[kind_of(obj)] += len(obj['expressions'])
    return dict(
        objects=len(objects),
        expressions=sum(len(obj['expressions']) for obj in objects),
        images=len({obj['img_path'] for obj in objects}),
        **{f'objects in {split}': count for split, count in sorted(splits.items())},
        **{
            f'expressions of kind {kind}': count
            for kind, count in sorted(kinds.items())
            if set(kinds) > {ONE}
        },
    )


def _check_image(
    job: tuple[str, list[Record], dict | None],
) -> tuple[PictureFacts | str, list[Finding]]:
    """Facts of an image or what is wrong with it; and what is found of its masks."""
    path, objects, backend_args = job
    try:
        facts: PictureFacts | str = examine_picture(path, backend_args)
    except (OSError, ValueError) as problem:
        facts = str(problem)
    size = None if isinstance(facts, str) else facts.size
    return facts, [_check_mask(obj, size, backend_args) for obj in objects]


def _check_mask(
    obj: Record, image_size: tuple[int, int] | None, backend_args: dict | None
) -> Finding:
    segmentation, stated = obj['segmentation'], (obj['height'], obj['width'])
    if image_size is not None and None not in stated and image_size != stated:
        return Finding(
            'image',
            f'the image is {image_size[0]} x {image_size[1]} px (height x width), '
            f'the annotations say {stated[0]} x {stated[1]}',
        )
    size = image_size or stated
    if None in size and not files_in(segmentation):
        return Finding()
    try:
        mask = load_mask(segmentation, size[0], size[1], backend_args)
    except FileNotFoundError as problem:
        missing = problem.filename or files_in(segmentation)[0]['file']
        return Finding('mask', f'the mask file {missing} does not exist')
    except (OSError, ValueError) as problem:
        return Finding('mask', str(problem))
    share = float((mask == 1).mean())
    if share > _LARGEST_SHARE:
        text = f'{100 * share:.0f} % of the image is target; is the mask inverted?'
        return Finding('inverted', text, pixel_digest(mask))
    return Finding(fingerprint=pixel_digest(mask))
