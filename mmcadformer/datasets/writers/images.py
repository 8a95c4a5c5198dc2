# SPDX-License-Identifier: Apache-2.0
"""Images of a data set at their new place."""

import os
import shutil
from pathlib import Path, PurePath

from ...utils.parallel import map_tracked

IMAGE_MODES = ('copy', 'hardlink', 'symlink')


def new_names(objects):
    """File names for the images: their paths below the folder they share.

    Args:
        objects (list[dict]): Records.

    Returns:
        dict[str, str]: Name by path, with ``/`` between folders.
    """
    paths = sorted({obj['img_path'] for obj in objects})
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(p)) for p in paths])
    return {
        path: PurePath(os.path.relpath(os.path.abspath(path), folder)).as_posix()
        for path in paths
    }


def place_images(names, folder, mode='copy', progress=True):
    """Copy images, or make links to them.

    Args:
        names (dict[str, str]): New name by path.
        folder (Path): Folder to put them in.
        mode (str): One of ``IMAGE_MODES``.
        progress (bool): Show a bar.
    """
    jobs = [(path, Path(folder) / name, mode) for path, name in names.items()]
    for _ in map_tracked(_place, jobs, 0, progress):
        pass


def _place(job):
    path, target, mode = job
    target.parent.mkdir(parents=True, exist_ok=True)
    if mode == 'copy':
        shutil.copyfile(path, target)
    elif mode == 'hardlink':
        os.link(path, target)
    else:
        target.symlink_to(os.path.abspath(path))


def check_mode(mode, known=IMAGE_MODES):
    """Raise ValueError for a way to place images that isn't known."""
    if mode not in known:
        raise ValueError(f'image_mode must be one of {known}, got {mode!r}')


def require_absent(*paths):
    """Raise FileExistsError if something is where a data set shall be written."""
    for path in map(Path, paths):
        if path.exists():
            raise FileExistsError(
                f'{path} is there already; remove it or choose another name'
            )
