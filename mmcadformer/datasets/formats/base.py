# SPDX-License-Identifier: Apache-2.0
"""What layouts have in common: reading of entries, writing of images and masks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, ClassVar

from mmengine.fileio import get

from ...imagery import read_picture
from ...utils.image_files import IMAGE_SUFFIXES
from ...utils.plain_data import parse_json, shorten
from ...utils.progress import map_tracked
from ...utils.text import visible_text
from ..masks import (
    Segmentation,
    compressed_segments,
    encode_mask,
    files_in,
    load_mask,
    require_binary,
    segments_of,
    text_rle,
    without_degenerate,
)
from ..records import AnnotationError, Id, Record, Report, fail, is_id
from ..targets import check_kind, record_targets, targets_of

IMAGE_MODES = ('copy', 'hardlink', 'symlink')
# Outlines that were rounded, or drawn from pixel centres, end up to here.
TOLERATED_OVERHANG = 2.0
LEAVE_OUT = 'Repair the entry or list its ref_id in `exclude_file`.'


@dataclass(kw_only=True)
class LayoutReader:
    """Reads the annotation files of one layout.

    A dataset reads the entries, selects those it needs and makes objects of
    these alone, so that damage elsewhere stops nobody. The tools that look at
    whole data sets use the same two steps, but collect errors.
    """

    source: str  # the main annotation file, or the folder of several
    backend_args: dict | None = None
    # Refuse an object for a polygon of fewer than three points beside good ones.
    strict_polygons: bool = False
    # What doesn't keep the objects that were made from being used.
    remarks: list[AnnotationError] = field(default_factory=list, init=False)
    ids_per_split: ClassVar[bool] = False  # whether splits have ids of their own

    def entries(self, split: str | None = None, report: Report = fail) -> list[Record]:
        """All entries, each with ``ref_id`` and ``split`` at least.

        A reader whose splits are in files of their own reads only that of ``split``.
        ``report`` gets what is wrong with a single entry, which is then left out;
        ``ref_id`` of the error is the entry's, or one made from its place.

        Raises:
            FileNotFoundError, AnnotationError: A file is missing or unreadable.
        """
        raise NotImplementedError

    def make_object(self, entry: Record) -> Record:
        """Record of one of the entries; AnnotationError if something is wrong with it.

        Keys that all data sets share are left to :class:`BaseReferringDataset`.
        """
        raise NotImplementedError

    def unused_damage(self, entries: Sequence[Record]) -> list[AnnotationError]:
        """Damage, of the kind ``'unused'``, in what none of all the entries uses."""
        return []

    def remark(self, kind: str, entry: Record, message: str) -> None:
        """Notes something that doesn't keep an entry from being used."""
        self.remarks.append(
            AnnotationError(kind, message, entry['ref_id'], entry.get('original_id'))
        )

    def without_degenerate(self, mask: Any, entry: Record, where: str) -> Any:
        """A mask's good parts, with a note of what was left out, unless strict."""
        if self.strict_polygons:
            return mask
        mask, count = without_degenerate(mask)
        if count:
            self.remark(
                'degenerate',
                entry,
                f'{where}: {count} part{"s" * (count > 1)} of fewer than three points '
                'left out',
            )
        return mask

    def remark_overhang(self, overhang: float, entry: Record, where: str) -> None:
        """Notes polygons that reach out of their image by more than rounding does."""
        if overhang > TOLERATED_OVERHANG:
            self.remark(
                'outside',
                entry,
                f'{where}: a polygon reaches {overhang:g} px out of its image',
            )


def read_file(path: str, backend_args: dict | None = None) -> bytes:
    """Content of a file, or FileNotFoundError that names it."""
    try:
        return get(path, backend_args=backend_args)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist') from None


def parse_json_file(data: bytes, source: str) -> Any:
    """Parses JSON; an AnnotationError names the file that it is from."""
    try:
        return parse_json(data)
    except ValueError as error:
        raise AnnotationError(
            'file', f'{source}: {error}; repair it or get it again'
        ) from error


def as_length(value: object) -> int | None:
    """A number of pixels, which some tools write as 48.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if value > 0 else None


def expect(good: bool, kind: str, message: str) -> None:
    """Raises AnnotationError unless something is as it should be."""
    if not good:
        raise AnnotationError(kind, message)


def check_id(value: object, what: str) -> None:
    """Raises AnnotationError for what can't be an id."""
    expect(is_id(value), 'id', f'{what} must be a number or text, got {shorten(value)}')


def check_split(value: object, where: str) -> None:
    """Raises AnnotationError for what can't be the name of a split."""
    expect(
        isinstance(value, str) and bool(value.strip()),
        'split',
        f'{where}: split must be text such as train, got {shorten(value)}',
    )


def expect_kind(kind: object, count: int, where: str) -> None:
    """Raises AnnotationError for a stated kind that doesn't fit so many targets."""
    if kind is not None:
        try:
            check_kind(kind, count)
        except ValueError as error:
            raise AnnotationError('entry', f'{where}: {error}') from None


def require(entry: object, keys: Iterable[str], where: str) -> None:
    """Raises AnnotationError unless an entry is a dict with these keys.

    Those ending in ``id`` must hold a number or text.
    """
    if not isinstance(entry, dict):
        raise AnnotationError(
            'entry', f'{where}: expected a dict, got {type(entry).__name__}'
        )
    for key in keys:
        expect(key in entry, 'entry', f'{where} has no {key!r}')
        if key.endswith('id'):
            check_id(entry[key], f'{where}: an id')


def check_expressions(expressions: Sequence[object], where: str) -> list[str]:
    """Sentences of one object without white space around them."""
    if not expressions:
        raise AnnotationError('expression', f'{where} has no expression. {LEAVE_OUT}')
    texts = [visible_text(text) for text in expressions]
    for position, text in enumerate(texts):
        if not text:
            raise AnnotationError(
                'expression',
                f'{where}: expression {position} is empty or not text '
                f'({shorten(expressions[position])}). {LEAVE_OUT}',
            )
    return texts


def new_names(objects: Iterable[Record]) -> dict[str, str]:
    """File names of images: their paths below the folder they share, with ``/``."""
    paths = sorted({obj['img_path'] for obj in objects})
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths])
    return {
        path: PurePath(os.path.relpath(os.path.abspath(path), folder)).as_posix()
        for path in paths
    }


def check_inside(paths: Iterable[str | Path], folders: Iterable[str | Path]) -> None:
    """Checks that files to be copied are pictures of the folders that a user gave.

    The files that a data set from elsewhere names may be any on this machine, and the
    copy may be published. Links are followed to see where they lead.

    Raises:
        FileNotFoundError, ValueError: One isn't there, or is something else.
    """
    roots = [os.path.realpath(folder) for folder in folders]
    for path in dict.fromkeys(map(str, paths)):
        if '://' in path:
            raise ValueError(f'{path} is an address, which is not fetched')
        real = os.path.realpath(path)
        if not any(os.path.commonpath([real, root]) == root for root in roots):
            raise ValueError(
                f'{path} lies outside of {" and ".join(map(str, roots))} and is not '
                'copied into the new data set. If it may be, give the folder by '
                '--images-below'
            )
        if os.path.exists(real) and not os.path.isfile(real):
            raise ValueError(f'{path} is not a file')
        if PurePath(real).suffix.lower() not in IMAGE_SUFFIXES:
            raise ValueError(f'{path} is not a picture by its name, and is not copied')


def place_images(
    names: Mapping[str, str], folder: Path, mode: str = 'copy', progress: bool = True
) -> None:
    """Copies images into a folder, or makes links to them, under new names by path."""
    jobs = [(path, folder / name, mode) for path, name in names.items()]
    for _ in map_tracked(_place, jobs, 0, progress):
        pass


def _place(job: tuple[str, Path, str]) -> None:
    path, target, mode = job
    target.parent.mkdir(parents=True, exist_ok=True)
    if mode == 'copy':
        shutil.copyfile(path, target)
    elif mode == 'hardlink':
        os.link(path, target)
    else:
        target.symlink_to(os.path.abspath(path))


def require_absent(*paths: Path) -> None:
    """Raises FileExistsError if something is where a data set shall be written."""
    for path in paths:
        if path.exists():
            raise FileExistsError(
                f'{path} is there already; remove it or choose another name'
            )


def check_objects(objects: Iterable[Record], without_targets: str = '') -> None:
    """Raises ValueError for records, of all splits, that can't be written together.

    ``without_targets``: a layout that can't say that a sentence refers to nothing.
    """
    seen: dict[Id, Record] = {}
    for obj in objects:
        other = seen.setdefault(obj['ref_id'], obj)
        if other is not obj:
            raise ValueError(
                f'ref_id {shorten(obj["ref_id"])} is used in the splits '
                f'{shorten(other["split"])} '
                f'and {shorten(obj["split"])}; the new layout has one list of ids for '
                f'all'
            )
        if without_targets and obj['segmentation'] is None:
            raise ValueError(
                f'ref_id {shorten(obj["ref_id"])} refers to nothing in '
                f'{obj["img_path"]}; the '
                f'layout {without_targets} can not say so, json and refcoco can'
            )


def with_masks(
    objects: Sequence[Record],
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
) -> list[Record]:
    """New records with sizes, and with masks that are JSON.

    Polygons stay as they are. Mask files, and RLE in whatever form, become lists of
    compressed RLE, with text as counts, of exactly the same pixels; None stays None,
    and each of several targets keeps a mask of its own.
    """
    jobs = [(obj, backend_args) for obj in objects]
    return list(map_tracked(_with_mask, jobs, workers, progress, chunksize=32))


def _with_mask(job: tuple[Record, dict | None]) -> Record:
    obj, backend_args = job
    height, width, targets = obj['height'], obj['width'], []
    for target in targets_of(obj):
        segmentation = target['segmentation']
        if files_in(segmentation):
            mask = load_mask(segmentation, height, width, backend_args)
            mask = require_binary(mask, segmentation)
            (height, width), segmentation = mask.shape, [encode_mask(mask)]
        targets.append(dict(target, segmentation=segmentation))
    if height is None or width is None:
        picture = read_picture(obj['img_path'], backend_args=backend_args)
        height, width = picture.rgb.shape[:2]
    for target in targets:
        segmentation = _plain_segments(target['segmentation'], height, width)
        target['segmentation'] = segmentation
    told = record_targets(targets, obj.get('kind')) if targets else {}
    return dict(obj, height=height, width=width, **told)


def _plain_segments(segmentation: Segmentation, height: int, width: int) -> list:
    return [
        text_rle(compressed_segments(segment, height, width)[0])
        if isinstance(segment, dict)
        else segment
        for segment in segments_of(segmentation)
    ]
