# SPDX-License-Identifier: Apache-2.0
"""Writer of RefSegRS's layout."""

import re
import shutil
from collections import defaultdict
from functools import partial
from pathlib import Path

import cv2

from ...utils.parallel import map_tracked
from ..image_files import read_image
from ..masks import load_mask
from ..readers.refsegrs import phrase_file
from .images import require_absent
from .masks import require_targets, require_unique

_FILE_NAME = re.compile(r'[A-Za-z0-9_-][A-Za-z0-9._-]*')


def write_refsegrs(objects, root, backend_args=None, workers=0, progress=True):
    """Write a data set for :class:`RefSegRSDataset`.

    Images are stored without loss, one file per object. Ids stay if they can
    be file names, otherwise objects are numbered. Categories and the ids of
    sentences have no place in this layout.

    Args:
        objects (list[dict]): Records of all splits.
        root (str | Path): Folder of the data set.
        backend_args (dict, optional): Of MMEngine's file backend.
        workers (int): Processes that write images.
        progress (bool): Show a bar.

    Returns:
        Path: The folder.

    Raises:
        FileExistsError: There is something at this place.
        ValueError: Something can't be said in this layout.
    """
    root = Path(root)
    require_absent(root)
    require_unique(objects)
    require_targets(objects, 'refsegrs')
    lines = defaultdict(list)
    names = _names(objects)
    for name, obj in zip(names, objects, strict=True):
        _check_split_name(obj['split'])
        for text in obj['expressions']:
            if '\n' in text:
                raise ValueError(
                    f'an expression of ref_id {obj["ref_id"]!r} has a line break, '
                    'which the layout refsegrs can not store'
                )
            lines[obj['split']].append(f'{name} {text}')
    for folder in ('images', 'masks'):
        (root / folder).mkdir(parents=True)
    jobs = list(zip(names, objects, strict=True))
    write = partial(_write_files, root, backend_args)
    for _ in map_tracked(write, jobs, workers, progress):
        pass
    for split, said in lines.items():
        path = root / phrase_file(split)
        path.write_text('\n'.join(said) + '\n', encoding='utf-8')
    return root


def _names(objects):
    names = [str(obj['ref_id']) for obj in objects]
    usable = all(map(_FILE_NAME.fullmatch, names))
    # Some file systems don't tell capital letters from small ones.
    if usable and len({name.lower() for name in names}) == len(names):
        return names
    return [str(number) for number in range(1, len(objects) + 1)]


def _check_split_name(split):
    if not _FILE_NAME.fullmatch(split):
        raise ValueError(f'the split {split!r} can not be part of the name of a file')


def _write_files(root, backend_args, job):
    name, obj = job
    target = root / 'images' / f'{name}.tif'
    if obj['img_path'].lower().endswith(('.tif', '.tiff')):
        shutil.copyfile(obj['img_path'], target)
        size = (obj['height'], obj['width'])
        if None in size:
            size = read_image(str(target), cv2.IMREAD_COLOR).shape[:2]
    else:
        image = read_image(obj['img_path'], cv2.IMREAD_COLOR, backend_args)
        size = image.shape[:2]
        _write_tiff(target, image)
    mask = load_mask(obj['segmentation'], *size, backend_args)
    _write_tiff(root / 'masks' / f'{name}.tif', 255 * mask)


def _write_tiff(path, pixels):
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f'cannot write {path}')
