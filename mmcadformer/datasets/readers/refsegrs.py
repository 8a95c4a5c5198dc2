# SPDX-License-Identifier: Apache-2.0
"""Reader of RefSegRS's layout: text files of phrases, images and masks by id."""

import os.path as osp
import re

from mmengine.fileio import get, list_dir_or_file

from ...utils.text import visible_text
from ..errors import AnnotationError, fail
from .base import LayoutReader


def phrase_file(split):
    """str: Name of a split's file."""
    return f'output_phrase_{split}.txt'


class RefSegRSReader(LayoutReader):
    """Reads ``output_phrase_<split>.txt``.

    Each line is an id, white space and an expression. Lines of one file with
    the same id are expressions for the same mask.

    Args:
        folder (str): Folder of the text files.
        img_dir (str): Folder of the images.
        mask_dir (str): Folder of the masks.
        suffix (str): Ending of image and mask files.
        threshold (int): Mask pixels above this grey value are the target.
        categories (Sequence[str]): Names to look for in the expressions.
        backend_args (dict, optional): Of MMEngine's file backend.
    """

    ids_per_split = True

    def __init__(
        self,
        folder,
        img_dir,
        mask_dir,
        suffix,
        threshold,
        categories,
        backend_args=None,
    ):
        super().__init__(osp.join(folder, phrase_file('*')), backend_args)
        self.folder = folder
        self.img_dir = img_dir
        self.mask_dir = mask_dir
        self.suffix = suffix
        self.threshold = threshold
        self.categories = categories

    def entries(self, split=None, report=fail):
        """Entries of one split, or of all that there are."""
        splits = self._find_splits() if split is None else [split]
        return [
            entry
            for name in splits
            for entry in self._read(
                osp.join(self.folder, phrase_file(name)), name, report
            )
        ]

    def _find_splits(self):
        start, end = phrase_file('*').split('*')
        names = list_dir_or_file(
            self.folder, list_dir=False, suffix=end, backend_args=self.backend_args
        )
        found = [
            name[len(start) : -len(end)] for name in names if name.startswith(start)
        ]
        if not found:
            raise FileNotFoundError(f'{self.source} not found')
        return sorted(found)

    def where(self, entry):
        """str: File, line and id."""
        path = osp.join(self.folder, phrase_file(entry['split']))
        return f'{path}, line {entry["lines"][0]} (id {entry["ref_id"]})'

    def make_object(self, entry):
        """Record of one mask with all its expressions."""
        name = entry['ref_id']
        return dict(
            img_path=osp.join(self.img_dir, name + self.suffix),
            image_id=name,
            ref_id=name,
            ann_id=name,
            category=name_category(entry['expressions'], self.categories),
            height=None,
            width=None,
            segmentation=dict(
                file=osp.join(self.mask_dir, name + self.suffix), above=self.threshold
            ),
            expressions=entry['expressions'],
            sent_ids=entry['lines'],
            split=entry['split'],
        )

    def _read(self, path, split, report):
        entries = {}
        data = get(path, backend_args=self.backend_args)
        for number, line in enumerate(data.split(b'\n'), 1):
            if not line.strip():
                continue
            try:
                name, expression = _parse_line(line, f'{path}, line {number}')
            except AnnotationError as error:
                error.ref_id = f'{split}-line-{number}'
                report(error)
                continue
            entry = entries.setdefault(
                name, dict(ref_id=name, split=split, lines=[], expressions=[])
            )
            entry['lines'].append(number)
            entry['expressions'].append(expression)
        return entries.values()


def _parse_line(line, where):
    """Id and expression of a line."""
    try:
        text = line.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise AnnotationError('entry', f'{where}: no UTF-8 text ({error})') from None
    name, expression = (*text.split(maxsplit=1), '')[:2]
    if '/' in name or '\\' in name or '\0' in name:
        raise AnnotationError('id', f'{where}: {name!r} is no name of a file')
    if not visible_text(expression):
        raise AnnotationError(
            'expression',
            f'{where}: expected an id, a space and an expression, got {text.strip()!r}',
        )
    return name, expression.strip()


def name_category(expressions, categories):
    """First category that expressions name, since the layout has none.

    Args:
        expressions (Sequence[str]): Expressions of an object.
        categories (Sequence[str]): Names of categories.

    Returns:
        str: The name that begins first, the longer one of two; ``'other'``
        where none occurs.
    """
    text = f' {re.sub("[^a-z0-9]+", " ", " ".join(expressions).lower())} '
    found = [
        (position, -len(name), name)
        for name in categories
        for ending in ('', 's', 'es')
        if (position := text.find(f' {name}{ending} ')) >= 0
    ]
    return min(found)[2] if found else 'other'
