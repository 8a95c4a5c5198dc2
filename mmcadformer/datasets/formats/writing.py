# SPDX-License-Identifier: Apache-2.0
"""What writers have in common: new places of images, masks as files can hold them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

import cv2

from ...utils.parallel import map_tracked
from ..image_files import read_image
from ..masks import (
    Segmentation,
    compressed_segments,
    encode_mask,
    is_mask_file,
    load_mask,
    segments_of,
    text_rle,
)
from ..records import Id, Record

IMAGE_MODES = ('copy', 'hardlink', 'symlink')


def new_names(objects: Iterable[Record]) -> dict[str, str]:
    """File names for the images: their paths below the folder they share.

    Returns:
        Name by path, with ``/`` between folders.
    """
    paths = sorted({obj['img_path'] for obj in objects})
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths])
    return {
        path: PurePath(os.path.relpath(os.path.abspath(path), folder)).as_posix()
        for path in paths
    }


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


def check_mode(mode: str, known: Sequence[str] = IMAGE_MODES) -> None:
    """Raises ValueError for a way to place images that isn't known."""
    if mode not in known:
        raise ValueError(f'image_mode must be one of {known}, got {mode!r}')


def require_absent(*paths: Path) -> None:
    """Raises FileExistsError if something is where a data set shall be written."""
    for path in paths:
        if path.exists():
            raise FileExistsError(
                f'{path} is there already; remove it or choose another name'
            )


def check_objects(objects: Iterable[Record], without_targets: str = '') -> None:
    """Raises ValueError for objects that can't be written.

    Args:
        objects: Records of all splits, which must have a ``ref_id`` each.
        without_targets: Layout that has no way to say that a sentence refers to
            nothing.
    """
    seen: dict[Id, Record] = {}
    for obj in objects:
        other = seen.setdefault(obj['ref_id'], obj)
        if other is not obj:
            raise ValueError(
                f'ref_id {obj["ref_id"]!r} is used in the splits {other["split"]!r} '
                f'and {obj["split"]!r}; the new layout has one list of ids for all'
            )
        if without_targets and obj['segmentation'] is None:
            raise ValueError(
                f'ref_id {obj["ref_id"]!r} refers to nothing in {obj["img_path"]}; the '
                f'layout {without_targets} can not say so, only json can'
            )


def with_masks(
    objects: Sequence[Record],
    backend_args: dict | None = None,
    workers: int = 0,
    progress: bool = True,
) -> list[Record]:
    """Records with sizes, and with masks that are JSON.

    Polygons stay as they are. Mask files, and RLE in whatever form, become
    lists of compressed RLE of exactly the same pixels.

    Returns:
        New records; ``segmentation`` is a list of polygons and RLE dicts with text
        as counts, or None for no target.
    """
    jobs = [(obj, backend_args) for obj in objects]
    return list(map_tracked(_with_mask, jobs, workers, progress, chunksize=32))


def _with_mask(job: tuple[Record, dict | None]) -> Record:
    obj, backend_args = job
    height, width, segmentation = obj['height'], obj['width'], obj['segmentation']
    if is_mask_file(segmentation):
        mask = load_mask(segmentation, height, width, backend_args)
        (height, width), segmentation = mask.shape, [encode_mask(mask)]
    else:
        if None in (height, width):
            image = read_image(obj['img_path'], cv2.IMREAD_COLOR, backend_args)
            height, width = image.shape[:2]
        if segmentation is not None:
            segmentation = _plain_segments(segmentation, height, width)
    return dict(obj, height=height, width=width, segmentation=segmentation)


def _plain_segments(segmentation: Segmentation, height: int, width: int) -> list:
    return [
        text_rle(compressed_segments(segment, height, width)[0])
        if isinstance(segment, dict)
        else segment
        for segment in segments_of(segmentation)
    ]
