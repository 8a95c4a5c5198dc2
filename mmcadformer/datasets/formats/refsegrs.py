# SPDX-License-Identifier: Apache-2.0
"""RefSegRS's layout: text files of phrases, images and masks by id."""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from mmengine.fileio import list_dir_or_file

from ...imagery import read_picture
from ...utils.files import write_text
from ...utils.plain_data import shorten
from ...utils.progress import map_tracked
from ...utils.text import visible_text
from ..mask_files import MaskFiles
from ..masks import load_mask, require_binary
from ..records import AnnotationError, Record, Report, fail
from .base import LayoutReader, check_objects, read_file, require_absent

_FILE_NAME = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*')


def phrase_file(split: str) -> str:
    """Name of a split's file."""
    return f'output_phrase_{split}.txt'


@dataclass(kw_only=True)
class RefSegRSReader(LayoutReader):
    """Reads ``output_phrase_<split>.txt`` in the folder ``source``.

    Each line is an id, white space and an expression. Lines of one file with
    the same id are expressions for the same mask.
    """

    img_dir: str
    mask_dir: str
    suffix: str  # of image and mask files
    mask_files: MaskFiles  # how masks are understood
    categories: Sequence[str]  # to look for in the expressions
    ids_per_split = True

    def entries(self, split: str | None = None, report: Report = fail) -> list[Record]:
        splits = self._find_splits() if split is None else [split]
        return [entry for name in splits for entry in self._read(name, report)]

    def _find_splits(self) -> list[str]:
        start, end = phrase_file('*').split('*')
        names = list_dir_or_file(
            self.source, list_dir=False, suffix=end, backend_args=self.backend_args
        )
        found = [
            name[len(start) : -len(end)] for name in names if name.startswith(start)
        ]
        if not found:
            path = os.path.join(self.source, phrase_file('*'))
            raise FileNotFoundError(f'{path} not found')
        return sorted(found)

    def make_object(self, entry: Record) -> Record:
        name = entry['ref_id']
        mask = os.path.join(self.mask_dir, name + self.suffix)
        return dict(
            img_path=os.path.join(self.img_dir, name + self.suffix),
            image_id=name,
            ref_id=name,
            ann_id=name,
            category=name_category(entry['expressions'], self.categories),
            height=None,
            width=None,
            segmentation=self.mask_files.segmentation(mask),
            expressions=entry['expressions'],
            sent_ids=entry['lines'],
            split=entry['split'],
        )

    def object_name(self, name: str) -> str:
        """The id of an object, from what a line begins with."""
        return name

    def _read(self, split: str, report: Report) -> Iterable[Record]:
        path = os.path.join(self.source, phrase_file(split))
        entries: dict[str, Record] = {}
        data = read_file(path, self.backend_args)
        for number, line in enumerate(data.split(b'\n'), 1):
            if not line.strip():
                continue
            try:
                name, expression = _parse_line(line, f'{path}, line {number}')
            except AnnotationError as error:
                error.ref_id = f'{split}-line-{number}'
                report(error)
                continue
            name = self.object_name(name)
            entry = entries.setdefault(
                name, dict(ref_id=name, split=split, lines=[], expressions=[])
            )
            entry['lines'].append(number)
            entry['expressions'].append(expression)
        return entries.values()


def _parse_line(line: bytes, where: str) -> tuple[str, str]:
    """Id and expression of a line."""
    try:
        text = line.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise AnnotationError('entry', f'{where}: not UTF-8 text ({error})') from None
    name, expression = (*text.split(maxsplit=1), '')[:2]
    if '/' in name or '\\' in name or '\0' in name:
        raise AnnotationError(
            'id', f'{where}: {shorten(name)} can not be the name of a file'
        )
    if not visible_text(expression):
        raise AnnotationError(
            'expression',
            f'{where}: expected an id, a space and an expression, got '
            f'{shorten(text.strip())}',
        )
    return name, expression.strip()


def name_category(expressions: Iterable[str], categories: Iterable[str]) -> str:
    """First category that expressions name, as the layout has none; else ``'other'``.

    It is the name that begins first, the longer one of two.
    """
    text = f' {re.sub("[^a-z0-9]+", " ", " ".join(expressions).lower())} '
    found = [
        (position, -len(name), name)
        for name in categories
        for ending in ('', 's', 'es')
        if (position := text.find(f' {name}{ending} ')) >= 0
    ]
    return min(found)[2] if found else 'other'


def write_refsegrs(
    objects: Sequence[Record],
    root: str | os.PathLike,
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Writes a data set for :class:`RefSegRSDataset` and returns its folder.

    Images are stored without loss, one file per object. Ids stay if they can
    be file names, otherwise objects are numbered. Categories and the ids of
    sentences have no place in this layout.

    Raises:
        FileExistsError, ValueError: Something is at this place, or can't be said.
    """
    root = Path(root)
    require_absent(root)
    check_objects(objects, without_targets='refsegrs')
    names = _names(objects)
    phrases = _phrases(names, objects)
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    jobs = list(zip(names, objects, strict=True))
    write = partial(_write_files, root, backend_args)
    for _ in map_tracked(write, jobs, workers, progress):
        pass
    for split, lines in phrases.items():
        write_text(root / phrase_file(split), '\n'.join(lines) + '\n')
    return root


def _names(objects: Iterable[Record]) -> list[str]:
    names = [str(obj['ref_id']) for obj in objects]
    usable = all(map(_FILE_NAME.fullmatch, names))
    # Some file systems don't tell capital letters from small ones.
    if usable and len({name.lower() for name in names}) == len(names):
        return names
    return [str(number) for number in range(1, len(names) + 1)]


def _phrases(names: Iterable[str], objects: Iterable[Record]) -> dict[str, list[str]]:
    """Lines of each split's file."""
    lines = defaultdict(list)
    for name, obj in zip(names, objects, strict=True):
        split = obj['split']
        if not _FILE_NAME.fullmatch(split):
            raise ValueError(
                f'the split {shorten(split)} can not be part of a file name'
            )
        for text in obj['expressions']:
            if '\n' in text:
                raise ValueError(
                    f'an expression of ref_id {shorten(obj["ref_id"])} has a line '
                    f'break, '
                    'which the layout refsegrs can not store'
                )
            lines[split].append(f'{name} {text}')
    return lines


def _write_files(
    root: Path, backend_args: dict | None, job: tuple[str, Record]
) -> None:
    name, obj = job
    target = root / 'images' / f'{name}.tif'
    height, width = obj['height'], obj['width']
    if obj['img_path'].lower().endswith(('.tif', '.tiff')):
        shutil.copyfile(obj['img_path'], target)
        if None in (height, width):
            height, width = read_picture(target).rgb.shape[:2]
    else:
        rgb = read_picture(obj['img_path'], backend_args=backend_args).rgb
        height, width = rgb.shape[:2]
        _write_tiff(target, rgb[..., ::-1])
    mask = load_mask(obj['segmentation'], height, width, backend_args)
    mask = require_binary(mask, obj['segmentation'])
    _write_tiff(root / 'masks' / f'{name}.tif', 255 * mask)


def _write_tiff(path: Path, pixels: np.ndarray) -> None:
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f'cannot write {path}')
