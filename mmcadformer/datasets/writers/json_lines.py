# SPDX-License-Identifier: Apache-2.0
"""Writer of JSON lines."""

import json
import os
from pathlib import Path, PurePath

from .images import IMAGE_MODES, check_mode, new_names, place_images, require_absent
from .masks import require_unique, with_masks


def write_json_lines(
    objects,
    root,
    ann_file='annotations.jsonl',
    image_mode='keep',
    backend_args=None,
    workers=0,
    progress=True,
):
    """Write a data set for :class:`ReferringJsonDataset`.

    Args:
        objects (list[dict]): Records of all splits.
        root (str | Path): Folder of the file.
        ann_file (str): Its name.
        image_mode (str): ``'keep'`` names the images where they are, relative
            to the folder; ``'copy'``, ``'hardlink'``, ``'symlink'`` put them
            into ``images/`` in it.
        backend_args (dict, optional): Of MMEngine's file backend.
        workers (int): Processes that read mask files.
        progress (bool): Show bars.

    Returns:
        Path: The file.

    Raises:
        FileExistsError: The file is there already.
        ValueError: An id is used twice, or ``image_mode`` is unknown.
    """
    check_mode(image_mode, ('keep', *IMAGE_MODES))
    root = Path(root)
    path = root / ann_file
    require_absent(path)
    require_unique(objects)
    if image_mode == 'keep':
        names = {obj['img_path']: _relative(obj['img_path'], root) for obj in objects}
    else:
        require_absent(root / 'images')
        names = new_names(objects)
        place_images(names, root / 'images', image_mode, progress)
        names = {path: f'images/{name}' for path, name in names.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', encoding='utf-8', newline='\n') as file:
        for obj in with_masks(objects, backend_args, workers, progress):
            line = json.dumps(_line(obj, names), ensure_ascii=False)
            file.write(line + '\n')
    return path


def _line(obj, names):
    return dict(
        id=obj['ref_id'],
        image=names[obj['img_path']],
        image_id=obj['image_id'],
        object_id=obj['ann_id'],
        split=obj['split'],
        category=obj['category'],
        expressions=obj['expressions'],
        sentence_ids=obj['sent_ids'],
        height=obj['height'],
        width=obj['width'],
        mask=obj['segmentation'],
    )


def _relative(path, root):
    return PurePath(os.path.relpath(path, root)).as_posix()
